// What is drawn: one pane a mesh, all with the same camera, light and settings.
"use strict";

// Where the panes lie on the canvas: side by side, or one above the other where faces, higher than wide, are larger so.
function paneAreas({ clientWidth: width, clientHeight: height }, count) {
  const across = width >= 0.7 * height;
  return Array.from({ length: count }, (_, i) => across
    ? { left: (i * width) / count, top: 0, width: width / count, height }
    : { left: 0, top: (i * height) / count, width, height: height / count });
}

class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new three.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.outputColorSpace = "srgb-linear"; // the shaders write finished colours
    this.camera = new three.PerspectiveCamera();
    this.controls = new three.OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.addEventListener("change", () => this.redraw());
    this.light = new three.Vector3(0, 0, 1);
    this.panes = [];
    this.insets = []; // of each pane: the pixels above and below that are for captions and the like
    this.frames = 0;
    this.turning = null; // since when, in milliseconds
    this.onFrame = () => {};
    this.fitted = null; // the distance that fitted the canvas when the camera was placed
    this.waiting = null; // the view to show once the canvas, in a folded cell or a hidden tab, has a size
    new ResizeObserver(() => {
      if (canvas.clientWidth && canvas.clientHeight) this.waiting ? this.place(this.waiting) : this.refit();
      this.redraw();
    }).observe(canvas);
  }

  // Nothing is drawn while nothing moves.
  redraw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.draw();
      if (this.turning !== null) this.turn();
      this.controls.update(); // asks for another one while it moves
      this.frames++;
      this.onFrame();
    });
  }

  // To and fro by a third of a right angle: a face has no back. Whoever drags meanwhile turns it from there.
  turn() {
    const sway = (time) => 30 * Math.sin((time - this.turning) / 1500);
    const now = performance.now();
    const where = this.where();
    this.place({ ...where, azimuth: where.azimuth + sway(now) - sway(this.turnedAt) });
    this.turnedAt = now;
  }

  draw() {
    const { renderer, camera, canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    const ratio = Math.min(devicePixelRatio, 2);
    if (canvas.width !== Math.floor(width * ratio) || canvas.height !== Math.floor(height * ratio)) {
      renderer.setPixelRatio(ratio);
      renderer.setSize(width, height, false);
    }
    renderer.setScissorTest(true);
    const distance = camera.position.length();
    [camera.near, camera.far] = [Math.max(0.01, distance - 6), distance + 12];
    this.areas().forEach(({ left, top, width: w, height: h, above, below }, i) => {
      camera.aspect = w / h;
      camera.setViewOffset(w, h, 0, (below - above) / 2, w, h);
      renderer.setViewport(left, height - top - h, w, h);
      renderer.setScissor(left, height - top - h, w, h);
      renderer.setClearColor(0, 0);
      if (!this.panes[i]) return renderer.clear();
      this.panes[i].fitToPixels((ratio * h) / (2 * distance * Math.tan((camera.fov * Math.PI) / 360)));
      renderer.render(this.panes[i].scene, camera);
    });
  }

  areas() {
    return paneAreas(this.canvas, this.panes.length)
      .map((area, i) => ({ ...area, ...(this.insets[i] ?? { above: 0, below: 0 }) }));
  }

  // How far the camera stands when each mesh, as first seen, fits into what its pane's insets leave.
  fitDistance() {
    const tangent = Math.tan((this.camera.fov * Math.PI) / 360);
    return Math.max(1, ...this.areas().map(({ width, height, above, below }, i) => {
      const free = Math.max(height - above - below, 0.3 * height); // of a tiny frame not all
      return this.panes[i] ? distanceToFit(this.panes[i].frame, (tangent * 0.92 * width) / height,
        (tangent * free) / height) : 0;
    }));
  }

  inset(insets) {
    this.insets = insets;
    if (this.canvas.clientWidth && this.canvas.clientHeight) this.refit();
    this.redraw();
  }

  // Angles in degrees as seen from the face's front; distance in multiples of the one that fits.
  place({ azimuth, elevation, zoom }) {
    const { clientWidth, clientHeight } = this.canvas;
    this.waiting = clientWidth && clientHeight ? null : { azimuth, elevation, zoom };
    if (this.waiting) return;
    const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
    this.fitted = this.fitDistance();
    const distance = this.fitted / zoom;
    this.camera.position.set(Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e))
      .multiplyScalar(distance).add(this.controls.target);
    this.controls.update();
    this.redraw();
  }

  // The canvas has another shape now: as much of the mesh stays in view.
  refit() {
    if (!this.fitted) return;
    const { position } = this.camera, { target } = this.controls, before = this.fitted;
    this.fitted = this.fitDistance();
    position.sub(target).multiplyScalar(this.fitted / before).add(target);
    this.controls.update();
  }

  // What is left of a drag is forgotten; it would go on turning.
  stop() {
    this.controls.enableDamping = false;
    this.controls.update();
    this.controls.enableDamping = true;
  }

  where() {
    if (this.waiting) return this.waiting;
    const { x, y, z } = this.camera.position.clone().sub(this.controls.target);
    const distance = Math.hypot(x, y, z);
    const degrees = (radians) => (180 / Math.PI) * radians;
    return { azimuth: degrees(Math.atan2(x, z)), elevation: degrees(Math.asin(y / distance)),
      zoom: this.fitted / distance };
  }

  apply(settings) {
    const [a, e] = [settings.lightAzimuth, settings.lightElevation].map((degrees) => (degrees * Math.PI) / 180);
    this.light.set(Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e));
    if (this.camera.fov !== settings.fovDeg) { // the camera steps back as the view narrows: the face keeps its size
      const kept = this.where();
      this.camera.fov = settings.fovDeg;
      this.place(kept);
    }
    if (settings.turning !== (this.turning !== null)) {
      this.turning = this.turnedAt = settings.turning ? performance.now() : null;
    }
    for (const pane of this.panes) pane?.apply(settings);
    this.redraw();
  }
}
