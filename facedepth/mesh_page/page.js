// The page's controls: what they are set to, and what follows from it.
"use strict";

const FIRST_VIEW = { azimuth: 18, elevation: 6, zoom: 1 };
const FIRST_SETTINGS = {
  colouring: "photo", surface: "solid", relief: 1, jumpDeg: 85, lightAzimuth: -35, lightElevation: 35, fovDeg: 20,
  turning: false, backFaces: true, background: "theme",
};
const BACKGROUNDS = { white: "#ffffff", grey: "#808080", black: "#000000" };

const element = (id) => document.getElementById(id);
const panel = element("panel"), stageBox = element("stage"), canvas = element("canvas");
const packedMeshes = JSON.parse(element("meshes").textContent);
const settings = { ...FIRST_SETTINGS };
let stage = null, ready = false, openMs = null;

function say(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

// A photo, or null for a mesh without one.
async function loadPhoto(address) {
  if (!address) return null;
  const image = new Image();
  image.src = address;
  await image.decode();
  const texture = new three.Texture(image);
  texture.anisotropy = 4;
  texture.needsUpdate = true;
  return texture;
}

async function open() {
  try {
    stage = new Stage(canvas);
  } catch {
    return say("This browser shows no WebGL, which the mesh is drawn with. The .glb file opens in any 3D viewer.");
  }
  try {
    stage.panes = await Promise.all(packedMeshes.map(async (packed) => packed.message ? null
      : new Pane(packed, await decodeMesh(packed), await loadPhoto(packed.texture), stage.light)));
  } catch (error) {
    return say(error.message);
  }
  say("");
  restrict();
  stage.onFrame = () => {
    ready = true;
    openMs ??= Math.round(performance.now());
  };
  reset();
  new ResizeObserver(arrangeCaptions).observe(canvas);
}

// What these meshes cannot show is switched off.
function restrict() {
  const shown = stage.panes.filter(Boolean);
  const photos = shown.some((pane) => pane.photo);
  panel.querySelector("[value=photo]").disabled = !photos;
  if (!photos) FIRST_SETTINGS.colouring = "clay";
  panel.elements.jumpDeg.disabled = !packedMeshes.some((packed) => packed.cuttable);
  if (shown.length === 0) panel.querySelectorAll("input").forEach((input) => (input.disabled = true));
  element("download").disabled = element("screenshot").disabled = shown.length === 0;
}

function reset() {
  Object.assign(settings, FIRST_SETTINGS);
  for (const [name, value] of Object.entries(settings)) {
    const control = panel.elements[name];
    if (typeof value === "boolean") control.checked = value;
    else control.value = value;
  }
  stage.camera.fov = settings.fovDeg;
  stage.controls.target.set(0, 0, 0);
  stage.stop();
  stage.place(FIRST_VIEW);
  apply();
}

function apply() {
  stage.apply(settings);
  for (const input of panel.querySelectorAll("[type=range]")) {
    input.parentElement.querySelector("output").textContent = input.value + input.dataset.unit;
  }
  stageBox.dataset.background = settings.background;
  element("legend").hidden = settings.colouring !== "depth";
  const frames = stage.panes.filter(Boolean).map((pane) => pane.frame);
  if (frames.length === 1) {
    const range = frames[0].nearZ - frames[0].farZ, { metres } = packedMeshes.find((packed) => !packed.message);
    element("range").textContent = metres ? `${Math.round(range * 1000)} mm` : String(Number(range.toPrecision(3)));
  }
  element("download").disabled = !stage.panes.some((pane) => pane?.triangles);
  element("triangles").textContent = stage.panes.filter(Boolean)
    .map((pane) => `${pane.triangles.toLocaleString("en")} triangles`).join(" · ");
}

function arrangeCaptions() {
  element("captions").replaceChildren(...stage.areas().map(({ left, top, width, height }, i) => {
    const box = document.createElement("div");
    box.textContent = packedMeshes[i].title;
    if (i) box.className = top ? "below" : "beside";
    Object.assign(box.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    if (packedMeshes[i].message) {
      box.append(document.createElement("p"));
      box.lastChild.textContent = packedMeshes[i].message;
    }
    return box;
  }));
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const asFileName = (text) => text.replace(/[^\p{L}\p{M}\p{N}_-]+/gu, "_");
const fileStem = () => asFileName(document.title);

function screenshot() {
  stage.draw(); // what was drawn before is gone by now
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [canvas.width, canvas.height];
  const context = picture.getContext("2d");
  const themed = getComputedStyle(stageBox).getPropertyValue("--stage-mid");
  context.fillStyle = BACKGROUNDS[settings.background] ?? themed;
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(canvas, 0, 0);
  picture.toBlob((blob) => save(blob, `${fileStem()}.png`));
}

async function download() {
  const panes = stage.panes.filter((pane) => pane?.triangles); // glTF draws all corners where it is told of none
  for (const pane of panes) {
    const name = panes.length > 1 ? `${fileStem()}_${asFileName(pane.title)}` : fileStem();
    save(new Blob([await pane.toGlb(settings, name)], { type: "model/gltf-binary" }), `${name}.glb`);
  }
}

function darkNow() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function useTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

function onKey(event) {
  const step = { ArrowLeft: [-5, 0, 1], ArrowRight: [5, 0, 1], ArrowUp: [0, 5, 1], ArrowDown: [0, -5, 1],
    "+": [0, 0, 1.15], "=": [0, 0, 1.15], "-": [0, 0, 1 / 1.15] }[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "0") reset();
  else if (!step) return;
  else {
    const { azimuth, elevation, zoom } = stage.where();
    stage.place({ azimuth: azimuth + step[0], elevation: Math.max(-89, Math.min(89, elevation + step[1])),
      zoom: Math.max(0.1, Math.min(20, zoom * step[2])) });
  }
  event.preventDefault();
}

panel.addEventListener("input", ({ target }) => {
  settings[target.name] = target.type === "checkbox" ? target.checked
    : target.type === "range" ? Number(target.value) : target.value;
  apply();
});
panel.addEventListener("submit", (event) => event.preventDefault());
element("reset").addEventListener("click", reset);
element("screenshot").addEventListener("click", screenshot);
element("download").addEventListener("click", download);
element("theme").addEventListener("click", () => useTheme(!darkNow()));
element("fold").addEventListener("click", () => {
  element("fold").setAttribute("aria-expanded", String(!document.body.classList.toggle("folded")));
});
canvas.addEventListener("keydown", onKey);
canvas.addEventListener("webglcontextlost", () => {
  say("The browser draws only so many meshes at once, and let this one go. Click to have it drawn again.");
  canvas.style.opacity = 0; // browsers draw the sign of a broken picture in its place
  canvas.addEventListener("click", () => location.reload());
});
canvas.addEventListener("pointerdown", () => stageBox.classList.add("touched"));
// In a notebook the wheel goes on scrolling the notebook until the picture is clicked. Before OrbitControls listens:
canvas.addEventListener("wheel", (event) => {
  if (window.self !== window.top && document.activeElement !== canvas) event.stopImmediatePropagation();
  else stageBox.classList.add("touched");
});
useTheme(darkNow());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ({ matches }) => useTheme(matches));

// For tests and the curious: what is shown, to read and not to set.
window.facedepth = Object.freeze({
  get ready() { return ready; },
  get openMs() { return openMs; },
  get frames() { return stage.frames; },
  get settings() { return { ...settings }; },
  get camera() { // rounded to tenths of a degree
    const { azimuth, elevation, zoom } = stage.where();
    return { azimuth: Math.round(10 * azimuth) / 10, elevation: Math.round(10 * elevation) / 10, zoom };
  },
  get dark() { return darkNow(); },
  get meshes() {
    return stage.panes.map((pane, i) => pane ? { title: pane.title, triangles: pane.triangles,
      vertices: pane.mesh.positions.length / 3, all: pane.mesh.indices.length / 3 } : { ...packedMeshes[i] });
  },
});

open();
