// The page: the address names the open card, so that links, the browser's history and bookmarks all work.

// `card`: the card of an id; `view`: a small picture of a row; `badge`: the kind and the words of its badge.
const startPage = ({ card, title, view, badge, printing = () => {}, printed = () => {} }) => {
  const tile = (id) => {
    const row = rowOf.get(id);
    const [kind, text] = badge(row);
    const sure = rows.confidence[row];
    return html("li", {}, html("a", { href: `#${data.subject}-${id}`, class: "tile" },
      html("span", { class: "view" }, view(row)),
      html("span", { class: "words" },
        html("b", {}, capital(title(id))),
        html("span", { class: "line" }, classTag(rows.prediction[row]), html("span", { class: "faint" }, sure === null ? "" : percent(sure))),
        text ? html("span", { class: `badge ${kind}` }, text) : null)));
  };

  const dialog = byId("dialog");
  const address = new RegExp(`^#${data.subject}-(\\d+)$`);
  let open = null;

  const show = () => {
    const id = Number(address.exec(window.location.hash)?.[1] ?? NaN);
    if (!rowOf.has(id)) {
      if (dialog.open) dialog.close();
      return;
    }
    open = id;
    byId("dialog-body").replaceChildren(card(id));
    byId("previous-card").disabled = table.beside(id, -1) === null;
    byId("next-card").disabled = table.beside(id, 1) === null;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    byId("card-title").focus({ preventScroll: true });
  };

  const step = (by) => {
    const next = table.beside(open, by);
    if (next !== null) window.location.hash = `${data.subject}-${next}`;
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
    if (address.test(window.location.hash)) window.history.replaceState(null, "", "#");
  });
  window.addEventListener("hashchange", show);
  for (const link of document.querySelectorAll("[data-show]")) {
    link.addEventListener("click", () => table.only(link.dataset.show));
  }
  window.addEventListener("beforeprint", () => {
    printing();
    byId("printed-cards").replaceChildren(...data.cards.map((id) => card(id, { heading: `printed-${id}` })));
  });
  window.addEventListener("afterprint", () => {
    byId("printed-cards").replaceChildren();
    printed();
  });

  table.start();
  byId("gallery")?.append(...data.cards.map(tile));
  show();
};
