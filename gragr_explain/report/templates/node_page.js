// The page of the nodes of a graph.

map.start();
startPage({
  card,
  title: nodeName,
  view: (row) => (hasPicture(rows.id[row]) ? picture(rows.id[row], "", evidence(row)) : subgraph(row, { small: true })),
  badge: (row) => {
    if (rows.correct[row] === false) return ["wrong", `labelled ${labelText(row)}`];
    const conflict = rank(row, CONFLICT);
    if (conflict !== null && conflict > 0.9) return ["hot", "high conflict"];
    if (rows.confidence[row] !== null && rows.confidence[row] < 0.5) return ["", "unsure"];
    return ["", rows.role[row] ?? ""];
  },
  printing: () => map.draw(byId("daylight")),
  printed: () => map.draw(),
});
