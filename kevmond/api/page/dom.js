// Owns making and changing elements.  Data becomes text nodes and attributes here and nowhere
// markup: there is no way to pass markup, a style or a handler in text.

const SVG = "http://www.w3.org/2000/svg";
const FORBIDDEN = /^(on|style$|href$|src$|srcdoc$)/i;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (FORBIDDEN.test(name)) throw new TypeError(`not an attribute for data: ${name}`);
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Make an element; children are nodes or text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Make a button. */
export function button(text, click, attributes = {}) {
  const node = el("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", click);
  return node;
}

/** Return the element of an id that the page has. */
export function byId(id) {
  return document.getElementById(id);
}

/** Set a text, if it is another one: selections and readers are left in peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute if it is another one; null takes it away. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Show or hide. */
export function show(node, whether) {
  node.hidden = !whether;
}

/** Make the children of `parent` one for each item, keeping those that are there already. */
export function keyed(parent, items, keyOf, make, update) {
  const there = new Map(Array.from(parent.children, (node) => [node.dataset.key, node]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = there.get(key);
    there.delete(key);
    if (node === undefined) {
      node = make(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
  for (const node of there.values()) node.remove();
}

/** One of several buttons is pressed: mark it. */
export function press(buttons, pressed) {
  for (const node of buttons) node.setAttribute("aria-pressed", String(node === pressed));
}

/** Text with `commands` in it as nodes, the commands as code. */
export function withCode(text) {
  return printable(text)
    .split("`")
    .map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

/** What to do about something, behind the text that tells it; null where nothing is known. */
export function hintNode(hint) {
  return hint ? el("span", { class: "hint" }, " – ", ...withCode(hint)) : null;
}

const UNSHOWN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Text from elsewhere as it can be shown: what is invisible or turns text round is escaped. */
export function printable(text) {
  return String(text).replace(UNSHOWN, (char) => {
    const code = char.codePointAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
