
"use strict";
const english = document.getElementById("in-english");
const chosen = document.querySelectorAll("input[name=language]");
const links = document.querySelectorAll("a[href$='.html']");
const pages = Array.from(links, (link) => link.getAttribute("href"));
function speak() {
  document.documentElement.lang = english.checked ? "en" : "zh-CN";
  links.forEach((link, place) => link.setAttribute("href", pages[place] + (english.checked ? "#en" : "")));
}
if (location.hash === "#en") english.checked = true;
chosen.forEach((choice) => choice.addEventListener("change", speak));
speak();
