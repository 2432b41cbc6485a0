// What all drawings of graphs have in common.

// The box that holds all nodes.
const frame = (vertices, margin) => {
  const side = (axis, sign) => Math.max(...vertices.map(({ at, radius }) => sign * at[axis] + radius)) + margin;
  const [left, top, width, height] = [-side(0, -1), -side(1, -1), side(0, 1) + side(0, -1), side(1, 1) + side(1, -1)];
  const least = 1500;
  return [left - Math.max(0, least - width) / 2, top - Math.max(0, least - height) / 2, Math.max(width, least), Math.max(height, least)].map(Math.round).join(" ");
};

// The smallest distance between two nodes; it bounds their size.
const closest = (points) => {
  let least = 1000;
  points.forEach(([x1, y1], i) => points.slice(0, i).forEach(([x2, y2]) => { least = Math.min(least, Math.hypot(x1 - x2, y1 - y2)); }));
  return least;
};

// How far from its centre a node's picture or circle ends, in a direction.
const reach = ({ radius, isPicture }, dx, dy) => (isPicture ? (0.875 * radius + 20) / Math.max(Math.abs(dx), Math.abs(dy)) : radius);

const arrow = (source, target, weight, { isPaired, isKey }) => {
  const [[x1, y1], [x2, y2]] = [source.at, target.at];
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
  const [nx, ny] = isPaired ? [-34 * dy, 34 * dx] : [0, 0];
  const head = 46 + 34 * weight;
  const from = reach(source, dx, dy) + 10;
  const to = reach(target, dx, dy) + 14;
  const start = [x1 + dx * from + nx, y1 + dy * from + ny];
  const tip = [x2 - dx * to + nx, y2 - dy * to + ny];
  const neck = [tip[0] - dx * head, tip[1] - dy * head];
  const [sx, sy] = [-dy * head / 2, dx * head / 2];
  return svg("g", { class: isKey ? "edge key" : "edge", opacity: (isKey ? 1 : 0.3 + 0.7 * weight).toFixed(2) },
    svg("path", { d: `M${start} L${neck}`, "stroke-width": (6 + 26 * weight).toFixed(1) }),
    svg("path", { class: "head", d: `M${tip} L${neck[0] + sx},${neck[1] + sy} L${neck[0] - sx},${neck[1] - sy} Z` }));
};

// Black or white, whichever is told better from a colour: one of them always is by 4.5 to 1.
const inkOn = (colour) => {
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
};
