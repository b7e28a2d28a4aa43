// The page's controls: what they are set to, and what follows from it.
"use strict";

const FIRST_SETTINGS = {
  colouring: "photo", surface: "solid", relief: 1, jumpDeg: 85, lightAzimuth: -35, lightElevation: 35, fovDeg: 20,
  turning: false, backFaces: true, background: "theme",
};
const BACKGROUNDS = { white: "#ffffff", grey: "#6e6e6e", black: "#000000" };

const element = (id) => document.getElementById(id);
const panel = element("panel"), stageBox = element("stage"), canvas = element("canvas");
const packedMeshes = JSON.parse(element("meshes").textContent);
const settings = { ...FIRST_SETTINGS };
let stage = null, panes = [], shared = true, ready = false, openMs = null;

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
  fillControls();
  try {
    stage = new Stage(canvas);
  } catch {
    switchOff(); // no WebGL: the mesh can still be saved
  }
  try {
    panes = await Promise.all(packedMeshes.map(openPane));
  } catch (error) {
    switchOff();
    return say(error.message);
  }
  shared = shareScale(framesShown(), packedMeshes.every((packed) => packed.message || packed.metres));
  if (!stage) return offerToSave();
  say("");
  restrict();
  stage.panes = panes;
  stage.onFrame = () => {
    ready = true;
    openMs ??= Math.round(performance.now());
  };
  arrangeCaptions();
  reset();
  new ResizeObserver(arrangeCaptions).observe(stageBox);
}

async function openPane(packed) {
  if (packed.message) return null;
  return new Pane(packed, await decodeMesh(packed), await loadPhoto(packed.texture), stage?.light);
}

const framesShown = () => panes.filter(Boolean).map((pane) => pane.frame);

function offerToSave() {
  for (const pane of panes) pane?.apply(settings);
  tellOfTriangles();
  const titles = packedMeshes.map(({ title, message }) => message ? `${title}: ${message}` : title);
  const help = element("download").disabled ? "" : " Save the mesh with the GLB button; 3D viewers open it.";
  say(`${titles.join("\n")}\n\nWebGL is not available in this browser, so nothing is drawn here.${help}`);
}

// Where nothing is drawn, there is nothing to set.
function switchOff() {
  for (const control of [...panel.elements, ...element("bar").children]) control.disabled = control.id !== "theme";
  element("hint").hidden = canvas.hidden = true;
  fold(true);
}

function fold(folded) {
  document.body.classList.toggle("folded", folded);
  element("fold").setAttribute("aria-expanded", String(!folded));
}

// What these meshes cannot show is switched off.
function restrict() {
  const shown = panes.filter(Boolean);
  const photos = shown.some((pane) => pane.photo);
  panel.querySelector("[value=photo]").disabled = !photos;
  if (!photos) FIRST_SETTINGS.colouring = "clay";
  panel.elements.jumpDeg.disabled = !packedMeshes.some((packed) => packed.cuttable);
  if (shown.length === 0) panel.querySelectorAll("input").forEach((input) => (input.disabled = true));
  element("screenshot").disabled = element("hint").hidden = shown.length === 0;
}

function fillControls() {
  for (const [name, value] of Object.entries(settings)) {
    const control = panel.elements[name];
    if (typeof value === "boolean") control.checked = value;
    else control.value = value;
  }
  for (const input of panel.querySelectorAll("[type=range]")) showValue(input);
}

function showValue(input) {
  input.parentElement.querySelector("output").textContent = input.value.replace("-", "\u2212") + input.dataset.unit;
}

function reset() {
  Object.assign(settings, FIRST_SETTINGS);
  fillControls();
  stage.camera.fov = settings.fovDeg;
  stage.controls.target.set(0, 0, 0);
  stage.stop();
  stage.place(FIRST_VIEW);
  apply();
}

function apply() {
  stage.apply(settings);
  stageBox.dataset.background = settings.background;
  element("legend").hidden = settings.colouring !== "depth";
  element("range").textContent = rangeOfDepth();
  tellOfTriangles();
}

function rangeOfDepth() {
  const { metres } = packedMeshes.find((packed) => !packed.message) ?? {};
  const told = (depth) => metres ? `${Math.round(depth * 1000)} mm` : String(Number(depth.toPrecision(3)));
  const depths = framesShown().map((frame) => told(frame.depth));
  if (depths.length < 2) return depths.map((depth) => `${depth} deep`).join("");
  return shared ? `one scale for both: 0\u2013${depths[0]}` : `own scales: ${depths.join(" and ")} deep`;
}

function tellOfTriangles() {
  const counts = panes.filter(Boolean).map((pane) => pane.triangles);
  element("download").disabled = !counts.some(Boolean);
  element("triangles").textContent = counts.length
    ? `${counts.map((count) => count.toLocaleString("en")).join(" \u00b7 ")} triangles` : "";
}

// The captions, and the room that they, the hint and the legend take off the meshes.
function arrangeCaptions() {
  const areas = paneAreas(stageBox, packedMeshes.length);
  const boxes = areas.map((area, i) => captionBox(area, packedMeshes[i], i > 0 && (area.top ? "below" : "beside")));
  element("captions").replaceChildren(...boxes);
  const hint = element("hint").offsetTop;
  stage?.inset(areas.map(({ top, height }, i) => {
    const { offsetTop, offsetHeight } = boxes[i].firstChild;
    return { above: offsetTop + offsetHeight + 6, below: Math.max(6, top + height - hint) };
  }));
}

function captionBox({ left, top, width, height }, { title, message }, place) {
  const box = document.createElement("div");
  if (place) box.className = place;
  Object.assign(box.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  const name = document.createElement("span");
  name.className = "title";
  name.textContent = name.title = title;
  box.append(name);
  if (message) {
    box.append(document.createElement("p"));
    box.lastChild.textContent = message;
  }
  return box;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const asFileName = (text) => text.replace(/[^\p{L}\p{M}\p{N}_-]+/gu, "_");

function takePicture() {
  stage.draw(); // what was drawn before is gone by now
  return composePicture(stageBox, canvas,
    BACKGROUNDS[settings.background] ?? getComputedStyle(stageBox).getPropertyValue("--stage-mid"));
}

function screenshot() {
  takePicture().toBlob((blob) => save(blob, `${asFileName(document.title)}.png`));
}

async function download() {
  const names = panes.map((pane) => pane && asFileName(panes.length > 1 ? pane.title : document.title));
  for (const [i, pane] of panes.entries()) {
    if (!pane?.triangles) continue; // glTF draws all corners where it is told of none
    const name = names.indexOf(names[i]) === names.lastIndexOf(names[i]) ? names[i] : `${names[i]}_${i + 1}`;
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
  if (target.type === "range") showValue(target);
  apply();
});
panel.addEventListener("submit", (event) => event.preventDefault());
element("reset").addEventListener("click", reset);
element("screenshot").addEventListener("click", screenshot);
element("download").addEventListener("click", download);
element("theme").addEventListener("click", () => useTheme(!darkNow()));
element("fold").addEventListener("click", () => fold(!document.body.classList.contains("folded")));
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
// A printer gets what the canvas holds between two frames: nothing.
addEventListener("beforeprint", () => {
  if (!ready) return;
  const still = takePicture();
  still.id = "still";
  stageBox.append(still);
});
addEventListener("afterprint", () => element("still")?.remove());
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
    return panes.map((pane, i) => pane ? { title: pane.title, triangles: pane.triangles,
      vertices: pane.mesh.positions.length / 3, all: pane.mesh.indices.length / 3 } : { ...packedMeshes[i] });
  },
});

open();
