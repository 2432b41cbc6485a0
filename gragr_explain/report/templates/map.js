// The map: every node a point on a canvas.

const map = (() => {
  const canvas = byId("map-canvas");
  const tip = byId("map-tip");
  const choice = byId("map-colour");
  const nodes = data.map.node;
  const places = new Uint16Array(bytes(data.map.at).buffer);
  const mapRanks = bytes(data.map.rank);
  const MARGIN = 18;
  let size = { width: 0, height: 0, dot: 3 };
  let order = [];
  let isShown = () => true;

  const x = (i) => MARGIN + (places[2 * i] / 65535) * (size.width - 2 * MARGIN);
  const y = (i) => MARGIN + (places[2 * i + 1] / 65535) * (size.height - 2 * MARGIN);
  const rankOf = (i, psi) => mapRanks[i * data.psi.length + psi];

  const mix = (low, high, share) => low.map((part, i) => Math.round(part + share * (high[i] - part)));
  const parse = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const ramp = (tone) => {
    const [low, middle, high] = ["low", "middle", "high"].map((part) => parse(cssColour(`--${tone}-${part}`)));
    return Array.from({ length: 255 }, (_, value) => {
      const share = value / 254;
      return `rgb(${share < 0.5 ? mix(low, middle, 2 * share) : mix(middle, high, 2 * share - 1)})`;
    });
  };

  const sort = () => {
    const psi = Number(choice.value);
    order = nodes.map((_, i) => i);
    if (choice.value !== "class") {
      const height = (i) => (rankOf(i, psi) === UNDEFINED_RANK ? -1 : rankOf(i, psi));
      order.sort((a, b) => height(a) - height(b));
    }
  };

  const draw = () => {
    const ratio = window.devicePixelRatio || 1;
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    size = { width: box.width, height: box.height, dot: Math.max(1.6, Math.min(5, 150 / Math.sqrt(nodes.length + 1))) };
    canvas.width = box.width * ratio;
    canvas.height = box.height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const colours = choice.value === "class" ? [] : ramp(data.psi[Number(choice.value)].tone);
    const [grey, accent] = [cssColour("--soft"), cssColour("--ink")];
    const psi = Number(choice.value);
    for (const i of order) {
      const value = choice.value === "class" ? null : rankOf(i, psi);
      context.globalAlpha = isShown(nodes[i]) ? 0.9 : 0.1;
      context.fillStyle = value === null ? data.colours[data.map.prediction[i]] : value === UNDEFINED_RANK ? grey : colours[value];
      context.beginPath();
      context.arc(x(i), y(i), size.dot, 0, 7);
      context.fill();
    }
    context.strokeStyle = accent;
    context.lineWidth = 1.2;
    for (const i of order) {
      const row = rowOf.get(nodes[i]);
      if (row === undefined || rows.correct[row] !== false || !isShown(nodes[i])) continue;
      context.globalAlpha = 0.85;
      context.beginPath();
      context.arc(x(i), y(i), size.dot + 2, 0, 7);
      context.stroke();
    }
  };

  const nearest = (event) => {
    const box = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let found = null;
    let least = 14 ** 2;
    for (let i = 0; i < nodes.length; i += 1) {
      const distance = (x(i) - px) ** 2 + (y(i) - py) ** 2;
      if (distance < least && isShown(nodes[i])) [found, least] = [i, distance];
    }
    return found;
  };

  const point = (event) => {
    const i = nearest(event);
    tip.hidden = i === null;
    canvas.classList.toggle("pointing", i !== null && rowOf.has(nodes[i]));
    if (i === null) return;
    const row = rowOf.get(nodes[i]);
    const value = rankOf(i, CONFLICT);
    tip.replaceChildren(
      ...(hasPicture(nodes[i]) ? [picture(nodes[i], "")] : []),
      html("div", {},
        html("b", {}, `Node ${nodes[i]}`), html("br"),
        row === undefined ? "not explained" : `predicted ${className(rows.prediction[row])}`,
        row !== undefined && rows.correct[row] === false ? `, label ${labelText(row)}` : null, html("br"),
        value === UNDEFINED_RANK ? "conflict not defined" : `conflict ${standing(value / 254)}`));
    tip.style.left = `${Math.max(0, Math.min(x(i) + 14, size.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(0, Math.min(y(i) + 14, size.height - tip.offsetHeight - 8))}px`;
  };

  const legend = () => {
    const swatch = (colour, text) => html("span", { class: "key" }, html("i", { style: `background:${colour}` }), text);
    const parts = [];
    if (choice.value === "class") {
      parts.push(...data.classes.slice(0, 14).map((name, value) => swatch(data.colours[value], name)));
      if (data.classes.length > 14) parts.push(html("span", { class: "key" }, `and ${data.classes.length - 14} more`));
    } else {
      const psi = data.psi[Number(choice.value)];
      parts.push(html("span", { class: "key" }, psi.low, html("span", { class: `ramp ${psi.tone}` }), psi.high));
      if (mapRanks.some((value, i) => i % data.psi.length === Number(choice.value) && value === UNDEFINED_RANK)) {
        parts.push(swatch("var(--soft)", "not defined"));
      }
    }
    if (rows.correct.includes(false)) {
      parts.push(html("span", { class: "key" }, html("i", { class: "ring" }), "wrong prediction"));
    }
    if (nodes.length < data.map.total) {
      parts.push(html("span", { class: "key" }, `${nodes.length.toLocaleString("en")} of ${data.map.total.toLocaleString("en")} nodes shown`));
    }
    byId("map-legend").replaceChildren(...parts);
  };

  const start = () => {
    choice.append(...data.psi.flatMap((psi, i) => (i === ROLE ? [] : [html("option", { value: i }, psi.title.toLowerCase())])));
    if (data.map.prediction.length) choice.append(html("option", { value: "class" }, "predicted class"));
    choice.addEventListener("change", () => { sort(); legend(); draw(); });
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    canvas.addEventListener("click", (event) => {
      const i = nearest(event);
      if (i !== null && rowOf.has(nodes[i])) window.location.hash = `node-${nodes[i]}`;
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    new ResizeObserver(draw).observe(canvas);
    sort();
    legend();
  };

  // Dims all nodes but those for which the test holds.
  const show = (test) => { isShown = test; draw(); };
  return { start, show };
})();
