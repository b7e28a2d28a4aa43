// From the page's data to arrays that can be drawn: what facedepth/mesh_page/packing.py wrote, read back.
"use strict";

const JUMP_LEAST_DEG = 45; // flatter triangles are always shown
const JUMP_STEPS_PER_DEG = 4; // packing.py holds both too
const BRIDGE_DEG = 82; // steeper triangles bridge a depth jump: facedepth.geometry's default

const jumpBucket = (angle) => Math.max(0, Math.ceil((angle - JUMP_LEAST_DEG) * JUMP_STEPS_PER_DEG));

async function inflate(base64) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old to unpack the mesh; any browser from 2023 on will do.");
  }
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Columns of integers, each as its differences with their bytes apart: first all low bytes, then the next ones.
function readColumns(bytes, start, columns, count, width) {
  return Array.from({ length: columns }, (_, column) => {
    const differences = new Uint32Array(count);
    for (let byte = 0; byte < width; byte++) {
      const plane = start + (column * width + byte) * count;
      for (let i = 0; i < count; i++) differences[i] |= bytes[plane + i] << (8 * byte);
    }
    const values = new ({ 1: Uint8Array, 2: Uint16Array, 4: Uint32Array })[width](count);
    for (let i = 0, value = 0; i < count; i++) values[i] = value = (value + differences[i]) >>> 0; // wraps, as written
    return values;
  });
}

async function decodeMesh(packed) {
  const bytes = await inflate(packed.data);
  const width = packed.steps > 65535 ? 4 : 2, uvStart = 3 * width * packed.vertices;
  const grid = readColumns(bytes, 0, 3, packed.vertices, width);
  const uvGrid = readColumns(bytes, uvStart, 2, packed.vertices, 2);
  const positions = new Float32Array(3 * packed.vertices);
  const uvs = new Float32Array(2 * packed.vertices);
  for (let axis = 0; axis < 3; axis++) {
    const step = packed.extent[axis] / packed.steps;
    for (let i = 0; i < packed.vertices; i++) positions[3 * i + axis] = packed.low[axis] + step * grid[axis][i];
  }
  for (let axis = 0; axis < 2; axis++) {
    for (let i = 0; i < packed.vertices; i++) uvs[2 * i + axis] = uvGrid[axis][i] / 65535;
  }
  const corners = readColumns(bytes, uvStart + 4 * packed.vertices, 3, packed.triangles, 4);
  const indices = new Uint32Array(3 * packed.triangles);
  for (let i = 0; i < packed.triangles; i++) {
    const first = corners[0][i];
    indices[3 * i] = first;
    indices[3 * i + 1] = first + corners[1][i]; // stored relative to the first corner; wraps around
    indices[3 * i + 2] = first + corners[2][i];
  }
  const steepness = packed.cuttable // in steps of the slider
    ? readColumns(bytes, uvStart + 4 * packed.vertices + 12 * packed.triangles, 1, packed.triangles, 1)[0]
    : new Uint8Array(packed.triangles);
  return { positions, uvs, normals: vertexNormals(positions, indices, steepness),
    ...sortBySteepness(indices, steepness), vertexAngles: leastAngles(indices, steepness, packed.vertices) };
}

// Triangles from flat to steep, so that a threshold is a number of triangles and moving it uploads nothing. The flat
// ones keep their order, which the graphics card's cache likes.
function sortBySteepness(indices, steepness) {
  const shownUpTo = new Uint32Array(jumpBucket(90) + 1);
  for (const bucket of steepness) shownUpTo[bucket]++;
  for (let i = 1; i < shownUpTo.length; i++) shownUpTo[i] += shownUpTo[i - 1];
  const next = new Uint32Array(shownUpTo.length);
  next.set(shownUpTo.subarray(0, -1), 1);
  const sorted = new Uint32Array(indices.length);
  for (let t = 0; t < steepness.length; t++) {
    const place = 3 * next[steepness[t]]++;
    for (let corner = 0; corner < 3; corner++) sorted[place + corner] = indices[3 * t + corner];
  }
  return { indices: sorted, trianglesShown: (jumpDeg) => shownUpTo[jumpBucket(jumpDeg)] };
}

// Area-weighted means. Triangles across a depth jump are large and would bend the normals beside them: they count only
// where a vertex has no others.
function vertexNormals(positions, indices, steepness) {
  const bridging = jumpBucket(BRIDGE_DEG);
  const normals = new Float32Array(positions.length);
  const rests = new Uint8Array(positions.length / 3); // on flat triangles: 1, on bridging ones: 2
  for (const kind of [1, 2]) {
    for (let t = 0; t < steepness.length; t++) {
      if (steepness[t] > bridging !== (kind === 2)) continue;
      const a = 3 * indices[3 * t], b = 3 * indices[3 * t + 1], c = 3 * indices[3 * t + 2];
      const ux = positions[b] - positions[a], vx = positions[c] - positions[a];
      const uy = positions[b + 1] - positions[a + 1], vy = positions[c + 1] - positions[a + 1];
      const uz = positions[b + 2] - positions[a + 2], vz = positions[c + 2] - positions[a + 2];
      const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
      for (let corner = 0; corner < 3; corner++) {
        const vertex = indices[3 * t + corner];
        if (rests[vertex] !== kind && rests[vertex] !== 0) continue;
        rests[vertex] = kind;
        normals[3 * vertex] += nx;
        normals[3 * vertex + 1] += ny;
        normals[3 * vertex + 2] += nz;
      }
    }
  }
  for (let i = 0; i < normals.length; i += 3) {
    const length = Math.sqrt(normals[i] ** 2 + normals[i + 1] ** 2 + normals[i + 2] ** 2) || 1;
    normals[i] /= length;
    normals[i + 1] /= length;
    normals[i + 2] /= length;
  }
  return normals;
}

// The angle of the flattest triangle at each vertex: points vanish with their last triangle.
function leastAngles(indices, steepness, count) {
  const least = new Float32Array(count).fill(90.1);
  for (let t = 0; t < steepness.length; t++) {
    const angle = JUMP_LEAST_DEG + steepness[t] / JUMP_STEPS_PER_DEG;
    for (let corner = 3 * t; corner < 3 * t + 3; corner++) {
      if (angle < least[indices[corner]]) least[indices[corner]] = angle;
    }
  }
  return least;
}
