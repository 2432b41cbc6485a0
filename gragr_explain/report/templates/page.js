// The page: the address names the open card, so that links, the browser's history and bookmarks all work.

const badge = (row) => {
  if (rows.correct[row] === false) return ["wrong", `labelled ${labelText(row)}`];
  const conflict = rank(row, CONFLICT);
  if (conflict !== null && conflict > 0.9) return ["hot", "high conflict"];
  if (rows.confidence[row] !== null && rows.confidence[row] < 0.5) return ["", "unsure"];
  return ["", rows.role[row] ?? ""];
};

const gallery = () => {
  byId("gallery")?.append(...data.cards.map((node) => {
    const row = rowOf.get(node);
    const [kind, text] = badge(row);
    const sure = rows.confidence[row];
    return html("li", {}, html("a", { href: `#node-${node}`, class: "tile" },
      html("span", { class: "view" }, hasPicture(node) ? picture(node, "", evidence(row)) : subgraph(row, { small: true })),
      html("span", { class: "words" },
        html("b", {}, capital(nodeName(node))),
        html("span", { class: "line" }, classTag(rows.prediction[row]), html("span", { class: "faint" }, sure === null ? "" : percent(sure))),
        text ? html("span", { class: `badge ${kind}` }, text) : null)));
  }));
};

const dialog = byId("dialog");
let open = null;

const show = () => {
  const node = Number(/^#node-(\d+)$/.exec(window.location.hash)?.[1] ?? NaN);
  if (!rowOf.has(node)) {
    if (dialog.open) dialog.close();
    return;
  }
  open = node;
  byId("dialog-body").replaceChildren(card(node));
  byId("previous-card").disabled = table.beside(node, -1) === null;
  byId("next-card").disabled = table.beside(node, 1) === null;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("card-title").focus({ preventScroll: true });
};

const step = (by) => {
  const next = table.beside(open, by);
  if (next !== null) window.location.hash = `node-${next}`;
};

byId("previous-card").addEventListener("click", () => step(-1));
byId("next-card").addEventListener("click", () => step(1));
byId("close-card").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("close", () => {
  open = null;
  if (window.location.hash.startsWith("#node-")) window.history.replaceState(null, "", "#");
});
window.addEventListener("hashchange", show);
for (const link of document.querySelectorAll("[data-show]")) {
  link.addEventListener("click", () => table.only(link.dataset.show));
}
window.addEventListener("beforeprint", () => {
  map.draw(byId("daylight"));
  byId("printed-cards").replaceChildren(...data.cards.map((node) => card(node, { heading: `printed-${node}` })));
});
window.addEventListener("afterprint", () => {
  byId("printed-cards").replaceChildren();
  map.draw();
});

map.start();
table.start();
gallery();
show();
