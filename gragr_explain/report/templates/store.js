// The explanations: decoded from the page, and read by row (a position in the table) or by the id of what is explained.

const data = JSON.parse(byId("data").textContent);
const rows = data.rows;
const rowOf = new Map(rows.id.map((id, row) => [id, row]));

const bytes = (text) => {
  const raw = atob(text);
  const values = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) values[i] = raw.charCodeAt(i);
  return values;
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
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const isClassified = data.classes.length > 0;
const className = (value) => (isClassified ? (data.classes[value] ?? `class ${value}`) : number(value));
const colourOf = (value) => (isClassified ? data.colours[value] : cssColour("--calm"));
const labelText = (row) => (rows.label[row] === null ? "unknown" : className(rows.label[row]));
// What evidence does: it supports the prediction or, where labels are explained, the label.
const supportIt = (row) => (!data.explainsLabels ? "support it" : isClassified ? `support the label ${labelText(row)}` : "bring it near its label");
const subjectOfSupport = data.explainsLabels ? "label" : "prediction";
// Says that nothing of a kind supports what is explained, and on what a prediction then rests.
const noSupport = (row, kind, rest = "") => {
  if (data.explainsLabels) return isClassified ? `No ${kind} supports the label ${labelText(row)}.` : `No ${kind} brings this value near its label.`;
  return rows.confidence[row] === null && kind === "edge" ? "No edge raises the magnitude of this value." : `No ${kind} supports this prediction${rest}.`;
};
const featureName = (feature) => data.featureNames[feature] ?? `feature ${feature}`;
