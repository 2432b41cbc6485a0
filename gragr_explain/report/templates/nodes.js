// What is known of nodes: where they stand in the graph, what they are called, and what is predicted for those around.

const UNDEFINED_RANK = 255;
const CONFLICT = 0;
const ROLE = data.psi.findIndex((psi) => psi.name === "role");

const ranks = bytes(rows.rank);
// The share of the graph's nodes with a smaller psi; null where the psi is not defined.
const rank = (row, psi) => {
  const value = ranks[row * data.psi.length + psi];
  return value === UNDEFINED_RANK ? null : value / 254;
};
// Where a node stands in the graph, by the rank of one of its psi.
const standing = (share) => (share > 0.995 ? "among the highest" : share < 0.005 ? "among the lowest" : `above ${percent(share)}`);

const names = data.names;
const nodeName = (node) => names?.[node] ?? `node ${node}`;
const predictions = new Map(data.map.prediction.map((value, place) => [data.map.node[place], value]));
// The class that is predicted for a node; null where the page does not know it.
const predictionOf = (node) => (!isClassified ? null : predictions.get(node) ?? (rowOf.has(node) ? rows.prediction[rowOf.get(node)] : null));
