// The subgraph that supports a prediction: the node in the middle, arrows along the edges, colours by predicted class.

const subgraph = (row, { small = false } = {}) => {
  const { nodes, at, edges, key } = rows.graph[row];
  const points = nodes.map((_, place) => [at[2 * place], at[2 * place + 1]]);
  const least = closest(points);
  const others = Math.min(small ? 150 : 165, 0.3 * least);
  const vertices = nodes.map((node, place) => {
    const radius = place === 0 ? 1.35 * others : others;
    return { node, place, radius, at: points[place], isPicture: hasPicture(node) && !small };
  });
  const paired = new Set(edges.map(([source, target]) => `${source}>${target}`));
  const lines = edges.map(([source, target, weight], i) =>
    arrow(vertices[source], vertices[target], weight, { isPaired: paired.has(`${target}>${source}`), isKey: i < key && !small })).reverse();
  return svg("svg", {
    class: "subgraph", viewBox: frame(vertices, small ? 40 : 60), role: small ? null : "group",
    "aria-hidden": small ? "true" : null,
    "aria-label": small ? null : `${capital(nodeName(nodes[0]))} and the nodes around it that support its ${subjectOfSupport}`,
  }, svg("g", {}, ...lines), svg("g", {}, ...vertices.map((item) => vertex(item, small))));
};

const vertex = ({ node, place, radius, at: [x, y], isPicture }, small) => {
  const prediction = isClassified ? predictionOf(node) : rowOf.has(node) ? rows.prediction[rowOf.get(node)] : null;
  const colour = prediction === null ? cssColour("--soft") : colourOf(prediction);
  const parts = [];
  if (isPicture) {
    const side = 1.75 * radius;
    parts.push(
      svg("rect", { x: x - side / 2 - 20, y: y - side / 2 - 20, width: side + 40, height: side + 40, rx: 34, fill: colour }),
      svg("image", { href: pictureUrl(node), x: x - side / 2, y: y - side / 2, width: side, height: side, class: "pixels" }));
  } else {
    parts.push(svg("circle", { cx: x, cy: y, r: radius, fill: colour, class: place === 0 ? "centre" : null }));
    if (!small) parts.push(svg("text", { x, y, class: "inside", fill: inkOn(colour), "font-size": Math.min(88, 2.6 * radius / String(node).length) }, String(node)));
  }
  if (small) return svg("g", {}, ...parts);
  const says = prediction === null ? nodeName(node) : `${nodeName(node)}, predicted ${className(prediction)}`;
  parts.push(svg("title", {}, says));
  if (place === 0 || !rowOf.has(node)) return svg("g", {}, ...parts);
  return svg("a", { href: `#node-${node}`, "aria-label": `${says}: open its card` }, ...parts);
};
