// The explanations: decoded from the page, and read by row (a position in the table) or by node (an id in the graph).

const data = JSON.parse(byId("data").textContent);
const rows = data.rows;
const rowOf = new Map(rows.node.map((node, row) => [node, row]));
const UNDEFINED_RANK = 255;
const CONFLICT = 0;
const ROLE = data.psi.findIndex((psi) => psi.name === "role");

const bytes = (text) => {
  const raw = atob(text);
  const values = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) values[i] = raw.charCodeAt(i);
  return values;
};

const ranks = bytes(rows.rank);
// The share of the graph's nodes with a smaller psi; null where the psi is not defined.
const rank = (row, psi) => {
  const value = ranks[row * data.psi.length + psi];
  return value === UNDEFINED_RANK ? null : value / 254;
};

const number = (value) => {
  if (value === null) return "unknown";
  const size = Math.abs(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return size >= 1000 || size < 0.001 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
};
// A percentage that rounds neither up to all nor down to none.
const percent = (share) => {
  const rounded = Math.round(100 * share);
  return rounded === 100 ? ">\u202f99\u00a0%" : rounded === 0 ? "<\u202f1\u00a0%" : `${rounded}\u00a0%`;
};
// Where a node stands in the graph, by the rank of one of its psi.
const standing = (share) => (share > 0.995 ? "among the highest" : share < 0.005 ? "among the lowest" : `above ${percent(share)}`);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const names = data.names;
const nodeName = (node) => names?.[node] ?? `node ${node}`;
const isClassified = data.classes.length > 0;
const className = (value) => (isClassified ? (data.classes[value] ?? `class ${value}`) : number(value));
const colourOf = (value) => (isClassified ? data.colours[value] : cssColour("--calm"));
const labelText = (row) => (rows.label[row] === null ? "unknown" : className(rows.label[row]));
const featureName = (feature) => data.featureNames[feature] ?? `feature ${feature}`;
const predictions = new Map(data.map.prediction.map((value, place) => [data.map.node[place], value]));
// The class that is predicted for a node; null where the page does not know it.
const predictionOf = (node) => (!isClassified ? null : predictions.get(node) ?? (rowOf.has(node) ? rows.prediction[rowOf.get(node)] : null));
