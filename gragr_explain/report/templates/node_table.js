// The table of nodes.

const table = (() => {
  const psiColumn = (name) => {
    const psi = data.psi.findIndex((item) => item.name === name);
    return {
      key: name, title: data.psi[psi].title, value: (row) => rank(row, psi), hint: `${data.psi[psi].title}: how many of the graph's nodes have less`,
      cell: (row) => meter(rank(row, psi), rank(row, psi) === null ? "none" : percent(rank(row, psi)), data.psi[psi].tone),
    };
  };
  const nodeCell = (row) => {
    const node = rows.id[row];
    return [hasPicture(node) ? picture(node, "") : null, html("span", {}, names ? `${node} ${nodeName(node)}` : String(node))];
  };
  return makeTable({
    columns: [
      { key: "node", title: "Node", value: (row) => rows.id[row], cell: nodeCell },
      ...predictionColumns,
      psiColumn("conflict"), psiColumn("stability"), psiColumn("influence"), psiColumn("receptiveness"),
      { key: "role", title: "Role", value: (row) => rows.role[row], cell: (row) => rows.role[row] ?? html("span", { class: "faint" }, "none") },
    ],
    words: (row) => [nodeName(rows.id[row]), className(rows.prediction[row]), labelText(row), rows.role[row] ?? ""],
    filters: {
      cls: classFilter,
      role: { input: "role-filter", off: "", options: data.roles.map(({ name }) => [name, name]), keeps: (row, value) => rows.role[row] === value },
      wrong: wrongFilter,
      conflict: { input: "conflict-filter", off: false, keeps: (row) => rows.conflicts[row] === true },
    },
    by: "conflict",
    upwards: ["node", "prediction", "label", "role"],
    changed: (kept) => map.show(kept ? (node) => kept.has(node) : () => true),
  });
})();
