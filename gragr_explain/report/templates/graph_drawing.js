// A whole graph, with what supports its prediction.

const kindOf = (row, node) => (data.kinds === null ? null : rows.kind[row][node]);
const nodeText = (row, node) => (data.kinds === null ? `node ${node}` : `${data.kinds[kindOf(row, node)]} (node ${node})`);

const wholeGraph = (row, { small = false } = {}) => {
  const { nodes, at, links } = rows.drawing[row];
  const count = at.length / 2;
  const points = Array.from({ length: count }, (_, place) => [at[2 * place], at[2 * place + 1]]);
  const radius = Math.max(70, Math.min(120, 0.34 * closest(points)));
  const vertices = points.map((point, place) => ({ at: point, radius, node: nodes ? nodes[place] : place }));
  const lines = [...links].sort((a, b) => a[2] - b[2]).map((link) => wire(vertices, link, small));
  const [left, top, width, height] = frame(vertices, small ? 40 : 60).split(" ").map(Number);
  return svg("svg", {
    class: "subgraph whole", viewBox: `${left} ${top} ${width} ${height}`, role: small ? null : "img", "aria-hidden": small ? "true" : null,
    "aria-label": small ? null : `Graph ${rows.id[row]}, ${count} of its ${rows.nodes[row]} nodes; ${rows.support[row].length} edges support its ${subjectOfSupport}`,
  }, svg("g", {}, ...lines), svg("g", {}, ...vertices.map((item) => dot(row, item, small))));
};

const wire = (vertices, [source, target, weight, ways, isKey], small) => {
  const [from, to] = [vertices[source], vertices[target]];
  if (ways === 1 && weight > 0 && !small) return arrow(from, to, weight, { isPaired: false, isKey });
  const [[x1, y1], [x2, y2]] = [from.at, to.at];
  const kind = weight === 0 ? "edge pale" : isKey ? "edge key" : "edge";
  return svg("g", { class: kind, opacity: weight === 0 || isKey ? null : (0.3 + 0.7 * weight).toFixed(2) },
    svg("path", { d: `M${x1},${y1} L${x2},${y2}`, "stroke-width": weight === 0 ? (small ? 20 : 12) : (small ? 46 : 10 + 34 * weight).toFixed(0) }));
};

// A node, by its kind and its number, or by its number alone.
const dot = (row, { at: [x, y], radius, node }, small) => {
  const kind = kindOf(row, node);
  const colour = kind === null ? "#b7c3d3" : data.kindColours[kind];
  const circle = svg("circle", { cx: x, cy: y, r: radius, fill: colour });
  if (small) return svg("g", {}, circle);
  const called = kind === null || data.kinds[kind].length > 4 ? null : data.kinds[kind];
  const size = (text, most) => Math.min(most * radius, 1.7 * radius / text.length).toFixed(0);
  const write = (text, dy, most) => svg("text", { x, y: (y + dy * radius).toFixed(0), class: "inside", fill: inkOn(colour), "font-size": size(text, most) }, text);
  const texts = called === null ? [write(String(node), 0, 0.9)] : [write(called, -0.18, 0.85), write(String(node), 0.55, 0.5)];
  return svg("g", {}, circle, ...texts, svg("title", {}, nodeText(row, node)));
};
