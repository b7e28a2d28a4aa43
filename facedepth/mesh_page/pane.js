// What one mesh looks like: its shaders, and the ways in which it is drawn and saved.
"use strict";

const COLOURINGS = ["photo", "clay", "normals", "depth"];

const VERTEX_SHADER = `
  attribute float steepness;
  uniform float farZ, nearZ, jumpDeg, pointSize;
  uniform bool asPoints;
  varying vec3 vNormal, vToEye;
  varying vec2 vUv;
  varying float vNearness;
  void main() {
    vec4 world = modelMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * viewMatrix * world;
    gl_PointSize = pointSize;
    if (asPoints && steepness > jumpDeg) gl_Position = vec4(2.0, 2.0, 2.0, 1.0); // outside of the picture
    // The model is only scaled along its axes: its normals take the inverse.
    vNormal = normal / vec3(modelMatrix[0][0], modelMatrix[1][1], modelMatrix[2][2]);
    vToEye = cameraPosition - world.xyz;
    vUv = uv;
    vNearness = (position.z - farZ) / (nearZ - farZ);
  }`;

const FRAGMENT_SHADER = `
  uniform sampler2D photo;
  uniform vec3 light;
  uniform int colouring;
  uniform bool asPoints, asWires;
  uniform float wireOpacity;
  varying vec3 vNormal, vToEye;
  varying vec2 vUv;
  varying float vNearness;

  const vec3 SPECTRAL[11] = vec3[11]( // ColorBrewer's, near is warm
    vec3(94, 79, 162), vec3(50, 136, 189), vec3(102, 194, 165), vec3(171, 221, 164), vec3(230, 245, 152),
    vec3(255, 255, 191), vec3(254, 224, 139), vec3(253, 174, 97), vec3(244, 109, 67), vec3(213, 62, 79),
    vec3(158, 1, 66));

  vec3 spectral(float nearness) {
    float place = clamp(nearness, 0.0, 1.0) * 10.0;
    int low = min(int(place), 9);
    return mix(SPECTRAL[low], SPECTRAL[low + 1], place - float(low)) / 255.0;
  }
  vec3 linear(vec3 srgb) { return pow(srgb, vec3(2.2)); }

  void main() {
    vec3 eye = normalize(vToEye);
    vec3 n = normalize(vNormal);
    // Just past an outline triangles face away while the rounded surface that they stand for does not yet.
    bool back = !asPoints && !gl_FrontFacing && dot(n, eye) < -0.2;
    if (back) n = -n;
    float lambert = max(dot(n, light), 0.0);
    vec3 colour;
    if (asWires) {
      gl_FragColor = vec4(0.04, 0.05, 0.07, wireOpacity * max(abs(dot(n, eye)), 0.2)); // slanting they crowd
      return;
    } else if (back) {
      colour = linear(vec3(0.42, 0.46, 0.54)) * (0.25 + 0.75 * lambert);
    } else if (colouring == 0) { // a photo brings its own light; this one only models it
      colour = linear(texture2D(photo, vUv).rgb) * (0.55 + 0.6 * lambert);
    } else if (colouring == 1) {
      vec3 ambient = mix(vec3(0.15, 0.12, 0.11), vec3(0.30, 0.33, 0.38), 0.5 + 0.5 * n.y);
      float wrapped = max((dot(n, light) + 0.2) / 1.2, 0.0);
      float gloss = pow(max(dot(n, normalize(light + eye)), 0.0), 28.0);
      float rim = pow(1.0 - max(dot(n, eye), 0.0), 3.0);
      colour = linear(vec3(0.87, 0.80, 0.74)) * (ambient + 0.88 * wrapped * wrapped) + 0.08 * gloss + 0.06 * rim;
    } else if (colouring == 2) {
      gl_FragColor = vec4(0.5 + 0.5 * n, 1.0);
      return;
    } else {
      colour = linear(spectral(vNearness)) * (0.72 + 0.35 * lambert);
    }
    gl_FragColor = vec4(pow(min(colour, vec3(1.0)), vec3(1.0 / 2.2)), 1.0);
  }`;

class Pane {
  constructor(packed, mesh, photo, light) {
    Object.assign(this, { title: packed.title, mesh, photo, frame: frameOf(mesh.positions, mesh.indices) });
    const geometry = new three.BufferGeometry();
    const points = new three.BufferGeometry();
    const attributes = { position: [mesh.positions, 3], normal: [mesh.normals, 3], uv: [mesh.uvs, 2],
      steepness: [mesh.vertexAngles, 1] };
    for (const [name, [array, size]] of Object.entries(attributes)) {
      geometry.setAttribute(name, new three.BufferAttribute(array, size));
      points.setAttribute(name, geometry.getAttribute(name));
    }
    geometry.setIndex(new three.BufferAttribute(mesh.indices, 1));
    this.uniforms = {
      photo: { value: photo }, light: { value: light }, colouring: { value: 1 }, jumpDeg: { value: 90 },
      farZ: { value: 0 }, nearZ: { value: this.frame.nearZ }, pointSize: { value: 2 }, wireOpacity: { value: 0.5 },
    };
    const material = (extra, options) => new three.ShaderMaterial({
      vertexShader: VERTEX_SHADER, fragmentShader: FRAGMENT_SHADER, side: three.DoubleSide,
      uniforms: { ...this.uniforms, asPoints: { value: extra === "points" }, asWires: { value: extra === "wires" } },
      ...options,
    });
    // Pushed back a little, so that the wires on it are seen whole.
    const solid = { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };
    this.solid = new three.Mesh(geometry, material("solid", solid));
    this.wires = new three.Mesh(geometry, material("wires", { wireframe: true, transparent: true }));
    this.points = new three.Points(points, material("points"));
    this.scene = new three.Scene();
    for (const object of [this.solid, this.wires, this.points]) {
      object.frustumCulled = false;
      this.scene.add(object);
    }
  }

  apply(settings) {
    const scale = 1 / this.frame.radius;
    for (const object of [this.solid, this.wires, this.points]) {
      object.scale.set(scale, scale, scale * settings.relief);
      object.position.set(...this.frame.pivot).multiply(object.scale).negate();
      object.material.side = settings.backFaces ? three.DoubleSide : three.FrontSide;
    }
    this.solid.visible = settings.surface !== "points";
    this.wires.visible = settings.surface === "wires";
    this.points.visible = settings.surface === "points";
    this.triangles = this.mesh.trianglesShown(settings.jumpDeg);
    this.solid.geometry.setDrawRange(0, 3 * this.triangles);
    this.uniforms.jumpDeg.value = settings.jumpDeg;
    this.uniforms.farZ.value = this.frame.nearZ - this.frame.depth;
    const colouring = settings.colouring === "photo" && !this.photo ? "clay" : settings.colouring;
    this.uniforms.colouring.value = COLOURINGS.indexOf(colouring);
  }

  // Points leave gaps, and wires leave the surface to be seen, as soon as there are pixels for it.
  fitToPixels(radiusPx) {
    const spacing = (this.frame.edge / this.frame.radius) * radiusPx; // from one vertex to the next
    this.uniforms.pointSize.value = Math.max(1, Math.min(9, 1.7 * spacing));
    this.uniforms.wireOpacity.value = Math.max(0.06, Math.min(0.5, (spacing - 2) / 14));
  }

  // The triangles shown, with the relief as shown, in the mesh's own axes and unit: a binary glTF file. The object's
  // own origin is its middle, as in the files that Python writes.
  async toGlb(settings, name) {
    const { positions, normals, uvs } = this.mesh;
    const indices = this.mesh.indices.slice(0, 3 * this.triangles);
    const { relief } = settings;
    const middle = middleOf(positions, indices);
    const geometry = new three.BufferGeometry();
    geometry.setAttribute("position", new three.BufferAttribute(
      positions.map((value, i) => (i % 3 === 2 ? relief : 1) * (value - middle[i % 3])), 3));
    geometry.setAttribute("normal", new three.BufferAttribute(
      normals.map((value, i) => (i % 3 === 2 ? value / relief : value)), 3));
    geometry.normalizeNormals();
    // glTF counts v downwards.
    geometry.setAttribute("uv", new three.BufferAttribute(uvs.map((value, i) => (i % 2 ? 1 - value : value)), 2));
    geometry.setIndex(new three.BufferAttribute(indices, 1));
    const material = new three.MeshStandardMaterial({ roughness: 1, metalness: 0, side: three.DoubleSide });
    if (this.photo) {
      material.map = new three.Texture(this.photo.image);
      material.map.flipY = false;
      material.map.userData.mimeType = "image/jpeg";
    }
    const object = new three.Mesh(geometry, material);
    object.name = name;
    object.position.fromArray(middle);
    return new three.GLTFExporter().parseAsync(object, { binary: true });
  }
}
