// The map: every node a point on a canvas, reached by pointer or by arrow keys.

const map = (() => {
  const canvas = byId("map-canvas");
  const tip = byId("map-tip");
  const choice = byId("map-colour");
  const nodes = data.map.node;
  const places = new Uint16Array(bytes(data.map.at).buffer);
  const mapRanks = bytes(data.map.rank);
  const MARGIN = 18;
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let size = { width: 0, height: 0, dot: 3 };
  let order = [];
  let isShown = () => true;
  let current = null;

  const x = (i) => MARGIN + (places[2 * i] / 65535) * (size.width - 2 * MARGIN);
  const y = (i) => MARGIN + (places[2 * i + 1] / 65535) * (size.height - 2 * MARGIN);
  const rankOf = (i, psi) => mapRanks[i * data.psi.length + psi];

  const mix = (low, high, share) => low.map((part, i) => Math.round(part + share * (high[i] - part)));
  const parse = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const ramp = (tone, element) => {
    const [low, middle, high] = ["low", "middle", "high"].map((part) => parse(cssColour(`--${tone}-${part}`, element)));
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

  const draw = (element) => {
    const ratio = window.devicePixelRatio || 1;
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    size = { width: box.width, height: box.height, dot: Math.max(1.6, Math.min(5, 150 / Math.sqrt(nodes.length + 1))) };
    canvas.width = box.width * ratio;
    canvas.height = box.height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const colours = choice.value === "class" ? [] : ramp(data.psi[Number(choice.value)].tone, element);
    const [grey, ink] = [cssColour("--soft", element), cssColour("--ink", element)];
    const psi = Number(choice.value);
    const circle = (i, radius) => { context.beginPath(); context.arc(x(i), y(i), radius, 0, 7); };
    for (const i of order) {
      const value = choice.value === "class" ? null : rankOf(i, psi);
      context.globalAlpha = isShown(nodes[i]) ? 0.9 : 0.1;
      context.fillStyle = value === null ? data.colours[data.map.prediction[i]] : value === UNDEFINED_RANK ? grey : colours[value];
      circle(i, size.dot);
      context.fill();
    }
    context.strokeStyle = ink;
    context.lineWidth = 1.2;
    context.globalAlpha = 0.85;
    for (const i of order) {
      const row = rowOf.get(nodes[i]);
      if (row === undefined || rows.correct[row] !== false || !isShown(nodes[i])) continue;
      circle(i, size.dot + 2);
      context.stroke();
    }
    if (current === null) return;
    context.globalAlpha = 1;
    context.lineWidth = 3;
    circle(current, size.dot + 6);
    context.stroke();
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

  // The nearest shown node in a direction, those straight ahead before those aside.
  const ahead = (from, [dx, dy]) => {
    let found = null;
    let least = Infinity;
    for (let i = 0; i < nodes.length; i += 1) {
      if (i === from || !isShown(nodes[i])) continue;
      const [ox, oy] = [x(i) - x(from), y(i) - y(from)];
      const along = ox * dx + oy * dy;
      const aside = Math.abs(ox * dy - oy * dx);
      if (along > 0 && aside <= along && along + 2 * aside < least) [found, least] = [i, along + 2 * aside];
    }
    return found ?? from;
  };

  const words = (i) => {
    const row = rowOf.get(nodes[i]);
    const value = rankOf(i, CONFLICT);
    return [
      capital(nodeName(nodes[i])),
      (row === undefined ? "not explained" : `predicted ${className(rows.prediction[row])}`)
        + (row !== undefined && rows.correct[row] === false ? `, label ${labelText(row)}` : ""),
      value === UNDEFINED_RANK ? "conflict not defined" : `conflict ${standing(value / 254)}`,
    ];
  };

  const point = (i) => {
    tip.hidden = i === null;
    if (i === null) return;
    const [name, ...rest] = words(i);
    tip.replaceChildren(
      ...(hasPicture(nodes[i]) ? [picture(nodes[i], "")] : []),
      html("div", {}, html("b", {}, name), ...rest.flatMap((line) => [html("br"), line])));
    tip.style.left = `${Math.max(0, Math.min(x(i) + 14, size.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(0, Math.min(y(i) + 14, size.height - tip.offsetHeight - 8))}px`;
  };

  const open = (i) => { if (i !== null && rowOf.has(nodes[i])) window.location.hash = `node-${nodes[i]}`; };

  const go = (i) => {
    current = i;
    draw();
    point(i);
    byId("map-says").textContent = i === null ? "" : words(i).join(", ");
  };

  const onKey = (event) => {
    if (event.key === "Enter" && current !== null) open(current);
    else if (event.key === "Escape") go(null);
    else if (event.key in ARROWS) {
      event.preventDefault();
      const first = order.findLast((i) => isShown(nodes[i])) ?? null;
      go(current === null ? first : ahead(current, ARROWS[event.key]));
    }
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
    canvas.addEventListener("pointermove", (event) => {
      const i = nearest(event);
      canvas.classList.toggle("pointing", i !== null && rowOf.has(nodes[i]));
      point(i);
    });
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("click", (event) => open(nearest(event)));
    canvas.addEventListener("keydown", onKey);
    canvas.addEventListener("blur", () => { point(null); });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
    new ResizeObserver(() => draw()).observe(canvas);
    sort();
    legend();
  };

  // Dims all nodes but those for which the test holds.
  const show = (test) => {
    isShown = test;
    if (current !== null && !isShown(nodes[current])) current = null;
    draw();
  };
  return { start, show, draw };
})();
