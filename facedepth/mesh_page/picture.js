// The picture to save and to print: what is seen, without the buttons.
"use strict";

function composePicture(stageBox, canvas, ground) {
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [canvas.width, canvas.height];
  const context = picture.getContext("2d");
  context.fillStyle = ground;
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(canvas, 0, 0);
  const ratio = canvas.width / canvas.clientWidth;
  context.scale(ratio, ratio);
  const titles = stageBox.querySelectorAll("#captions .title");
  if (titles.length > 1) titles.forEach((title) => drawText(context, title, stageBox));
  stageBox.querySelectorAll("#captions p").forEach((reason) => drawLines(context, reason, stageBox));
  const legend = stageBox.querySelector("#legend");
  if (!legend.hidden) drawLegend(context, legend, stageBox);
  return picture;
}

function placeIn(box, element) {
  const outer = box.getBoundingClientRect(), { left, top, width, height } = element.getBoundingClientRect();
  return { left: left - outer.left, top: top - outer.top, width, height };
}

function drawText(context, element, stageBox) {
  const { left, top, width, height } = placeIn(stageBox, element);
  const style = getComputedStyle(element), padding = parseFloat(style.paddingLeft);
  context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textBaseline = "middle";
  let text = element.textContent;
  while (text.length > 1 && context.measureText(text).width > width - 2 * padding + 1) {
    text = `${text.slice(0, -2)}\u2026`;
  }
  context.fillText(text, left + padding, top + height / 2);
}

// Why there is no mesh, in as many lines as it takes.
function drawLines(context, element, stageBox) {
  const { left, top, width } = placeIn(stageBox, element);
  const style = getComputedStyle(element), padding = parseFloat(style.paddingLeft);
  const step = parseFloat(style.lineHeight) || 1.4 * parseFloat(style.fontSize);
  context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textBaseline = "top";
  let line = "", y = top + parseFloat(style.paddingTop);
  for (const word of `${element.textContent} \n`.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (word === "\n" || (line && context.measureText(longer).width > width - 2 * padding)) {
      context.fillText(line, left + padding, y);
      [line, y] = [word, y + step];
    } else line = longer;
  }
}

function drawLegend(context, legend, stageBox) {
  legend.querySelectorAll("span, small").forEach((text) => drawText(context, text, stageBox));
  const band = legend.querySelector("i"), { left, top, width, height } = placeIn(stageBox, band);
  const colours = getComputedStyle(band).backgroundImage.match(/rgb\([^)]*\)/g);
  const gradient = context.createLinearGradient(left, 0, left + width, 0);
  colours.forEach((colour, i) => gradient.addColorStop(i / (colours.length - 1), colour));
  context.fillStyle = gradient;
  context.fillRect(left, top, width, height);
}
