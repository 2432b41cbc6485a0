// Texts whose contrast with their ground is below WCAG 2.2 AA (1.4.3), in the colours that are really used.

const parse = (colour) => {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return [red, green, blue, alpha];
};
const over = ([red, green, blue, alpha], under) =>
  [red, green, blue].map((part, i) => alpha * part + (1 - alpha) * under[i]);
const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
const luminance = (colour) => {
  const [red, green, blue] = colour.map((part) => linear(part / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const ground = (element) => {
  if (!element) return [255, 255, 255];
  const colour = parse(getComputedStyle(element).backgroundColor);
  return colour[3] === 1 ? colour.slice(0, 3) : over(colour, ground(element.parentElement));
};
const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);

const LEFT_OUT = "script, style, title, :disabled, .hidden, .skip, option, dialog:not([open])";
const top = document.querySelector("dialog[open]") ?? document.body;
const walker = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
const faint = [];
let seen = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (!text || !element.checkVisibility() || element.closest(LEFT_OUT)) continue;
  const style = getComputedStyle(element);
  const isSvg = element instanceof SVGElement;
  const disc = element.matches(".inside") ? element.parentElement.querySelector("circle") : null;
  const under = disc ? parse(getComputedStyle(disc).fill).slice(0, 3) : ground(element);
  const [red, green, blue, alpha] = parse(isSvg ? style.fill : style.color);
  const own = luminance(over([red, green, blue, alpha * opacity(element)], under));
  const its = luminance(under);
  const ratio = (Math.max(own, its) + 0.05) / (Math.min(own, its) + 0.05);
  const size = parseFloat(style.fontSize);
  const isLarge = !isSvg && (size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700));
  seen += 1;
  if (ratio < (isLarge ? 3 : 4.5)) faint.push([text.slice(0, 30), ratio.toFixed(2), element.outerHTML.slice(0, 90)]);
}
return [seen, faint];
