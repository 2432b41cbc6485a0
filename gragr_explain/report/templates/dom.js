// Elements are built from text and attributes only: no name of a node or a class is ever parsed as HTML.

const SVG = document.getElementById("mark").namespaceURI;

const build = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
};

const html = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
// A colour of the page as it is seen now, or, with `element`, of one that stays light for print.
const cssColour = (name, element = document.documentElement) => getComputedStyle(element).getPropertyValue(name).trim();
