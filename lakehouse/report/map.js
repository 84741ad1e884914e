"use strict";
const svg = document.querySelector("svg"), told = document.querySelector(".told"), scale = document.querySelector(".scale");
const all = svg.getAttribute("viewBox").split(" ").map(Number);
let [x, y, width, height] = all;

function show() {
  svg.setAttribute("viewBox", [x, y, width, height].join(" "));
  const unit = 1 / svg.getScreenCTM().a;  // metres a pixel
  svg.style.setProperty("--unit", unit);
  const most = 110 * unit, power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map(step => step * power).find(step => step <= most);
  scale.children[0].style.width = length / unit + "px";
  scale.children[1].textContent = length >= 1000 ? length / 1000 + " km" : length + " m";
}

function place(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [point.x, point.y];
}

function zoom(by, [atX, atY] = [x + width / 2, y + height / 2]) {
  const to = Math.min(Math.max(width * by, 50), all[2] * 8) / width;
  [x, y, width, height] = [atX - (atX - x) * to, atY - (atY - y) * to, width * to, height * to];
  show();
}

document.querySelector("nav").addEventListener("click", event => {
  const by = Number(event.target.dataset.by ?? 1);
  if (by) return zoom(by);
  [x, y, width, height] = all;
  show();
});
svg.addEventListener("wheel", event => {  // the page scrolls until the map is chosen by a click
  if (document.activeElement !== svg && !event.ctrlKey) return;
  event.preventDefault();
  zoom(1.0015 ** event.deltaY, place(event));
}, { passive: false });
svg.addEventListener("dblclick", event => zoom(0.5, place(event)));
let from = null;
svg.addEventListener("pointerdown", event => { from = place(event); svg.setPointerCapture(event.pointerId); });
svg.addEventListener("pointerup", () => { from = null; });
svg.addEventListener("pointercancel", () => { from = null; });
svg.addEventListener("keydown", event => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "+" || event.key === "=") zoom(0.6);
  else if (event.key === "-") zoom(1.6667);
  else if (step) { x += step[0] * width / 10; y += step[1] * height / 10; show(); }
  else return;
  event.preventDefault();
});
svg.addEventListener("pointermove", event => {
  if (from) {
    const at = place(event);
    x += from[0] - at[0];
    y += from[1] - at[1];
    show();
  }
  const text = from ? "" : event.target.dataset?.told ?? "";
  told.hidden = !text;
  if (!text) return;
  told.textContent = text;
  told.style.left = Math.min(event.clientX + 14, innerWidth - told.offsetWidth - 6) + "px";
  told.style.top = Math.max(Math.min(event.clientY + 14, innerHeight - told.offsetHeight - 6), 6) + "px";
});
svg.addEventListener("pointerleave", () => { told.hidden = true; });
addEventListener("resize", show);
show();
