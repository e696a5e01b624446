"use strict";
// Everything that came from a file is set as text or as an attribute, never parsed as markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
for (const row of DATA.rows) if (row.settings) row.settings = row.settings.map((number) => DATA.settings[number]);
const $ = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const SUFFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

function short(value) {
  const size = Math.abs(value);
  for (const [unit, suffix] of SUFFIXES) if (size >= unit) return `${+(value / unit).toPrecision(3)}${suffix}`;
  return String(+value.toPrecision(3));
}

function external(text, url) {
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer", title: url }, text);
}

function copyable(text) {
  const button = el("button", { type: "button", class: "plain copy", onclick: () => copy(text, button) }, "copy");
  return el("div", { class: "command" }, el("code", {}, text), button);
}

function copy(text, button) {
  const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1200); };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => select(button.previousSibling));
  else select(button.previousSibling);
}

function select(node) {
  getSelection().selectAllChildren(node);
}
