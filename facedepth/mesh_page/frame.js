// How large meshes are: what the view is framed on, and whether two of them can be compared.
"use strict";

const FIRST_VIEW = { azimuth: 18, elevation: 6, zoom: 1 };
const SAMPLED = 4000; // vertices or triangles that stand for all
const OUTLIERS = 0.001; // share of the vertices that may lie outside of the view
const OTHER_UNIT = 3; // meshes whose sizes differ by more than this, in units that nobody told, are in different ones

// Radius and depth are of all but the outermost half percent on each side. The view turns about the pivot: the middle
// of what is seen at first.
function frameOf(positions, indices) {
  const count = positions.length / 3;
  const [x, y, z] = [0, 1, 2]
    .map((axis) => range(every(count, 20_000).map((i) => positions[3 * i + axis]), 0.005));
  const centre = [x, y, z].map(({ low, high }) => (low + high) / 2);
  const radius = Math.hypot(...[x, y, z].map(({ low, high }) => high - low)) / 2 || 1;
  const axes = viewAxes(FIRST_VIEW);
  const seen = every(count, SAMPLED).map((i) => axes.map((axis) => axis.reduce(
    (sum, share, j) => sum + share * (positions[3 * i + j] - centre[j]), 0)));
  const [right, up] = [0, 1].map((axis) => range(seen.map((point) => point[axis]), OUTLIERS))
    .map(({ low, high }) => (low + high) / 2);
  const pivot = centre.map((middle, j) => middle + right * axes[0][j] + up * axes[1][j]);
  const points = seen.map((point) => [point[0] - right, point[1] - up, point[2]]);
  return { pivot, radius, depth: z.high - z.low, nearZ: z.high, points, edge: shortEdge(positions, indices) };
}

// So many of the numbers from 0 to count, evenly.
function every(count, wanted) {
  const stride = Math.max(1, Math.floor(count / wanted));
  return Array.from({ length: Math.ceil(count / stride) }, (_, i) => i * stride);
}

// What remains of the values without a share of them at either end.
function range(values, share) {
  const sorted = Float64Array.from(values).sort(), last = sorted.length - 1;
  return { low: sorted[Math.floor(share * last)], high: sorted[Math.ceil((1 - share) * last)] };
}

// What points to the right, up and to the eye.
function viewAxes({ azimuth, elevation }) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  return [[Math.cos(a), 0, -Math.sin(a)], [-Math.sin(a) * Math.sin(e), Math.cos(e), -Math.cos(a) * Math.sin(e)],
    [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)]];
}

// From one vertex to the next where the grid is not stretched, and no diagonal.
function shortEdge(positions, indices) {
  const lengths = every(indices.length / 3, SAMPLED).flatMap((t) => [0, 1, 2].map((corner) => {
    const a = 3 * indices[3 * t + corner], b = 3 * indices[3 * t + ((corner + 1) % 3)];
    return Math.hypot(...[0, 1, 2].map((axis) => positions[a + axis] - positions[b + axis]));
  }));
  return range(lengths, 0.25).low;
}

// The middle of a box around triangles.
function middleOf(positions, indices) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const vertex of indices) {
    for (let axis = 0; axis < 3; axis++) {
      low[axis] = Math.min(low[axis], positions[3 * vertex + axis]);
      high[axis] = Math.max(high[axis], positions[3 * vertex + axis]);
    }
  }
  return low.map((value, axis) => (value + high[axis]) / 2);
}

// Meshes in the same unit get the same size and the same range of depth, each from its own nearest point on.
function shareScale(frames, metres) {
  const radius = Math.max(...frames.map((frame) => frame.radius));
  const depth = Math.max(...frames.map((frame) => frame.depth));
  const shared = metres || radius <= OTHER_UNIT * Math.min(...frames.map((frame) => frame.radius));
  if (shared) for (const frame of frames) Object.assign(frame, { radius, depth });
  return shared;
}

// How far from a mesh, in its radii, the camera sees all of it but outliers. Across and upwards: the tangents of half
// the angles that it may take.
function distanceToFit({ points, radius }, across, upwards) {
  const distances = points
    .map(([right, up, near]) => near + Math.max(Math.abs(right) / across, Math.abs(up) / upwards));
  return (1.03 * range(distances, OUTLIERS).high) / radius;
}
