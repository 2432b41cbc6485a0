// Nodes whose features are pixels, drawn as small grey pictures, with the evidence for the prediction laid over them.

const EVIDENCE_COLOUR = [255, 104, 36];
const images = data.images && {
  ...data.images,
  size: data.images.height * data.images.width,
  place: new Map(data.images.node.map((node, place) => [node, place])),
  pixels: bytes(data.images.pixels),
};
const drawn = new Map();

const hasPicture = (node) => images !== null && images.place.has(node);

// How much each pixel supports the prediction, in [0, 1].
const evidence = (row) => {
  const dense = data.evidence[rows.id[row]];
  if (dense !== undefined) return Float32Array.from(bytes(dense), (value) => value / 255);
  const weights = new Float32Array(images.size);
  for (const [feature, weight] of rows.features[row]) weights[feature] = weight;
  return weights;
};

const pictureUrl = (node, weights) => {
  const key = `${node}${weights ? "+" : ""}`;
  if (!drawn.has(key)) {
    const canvas = html("canvas", { width: images.width, height: images.height });
    const context = canvas.getContext("2d");
    const picture = context.createImageData(images.width, images.height);
    const start = images.place.get(node) * images.size;
    for (let i = 0; i < images.size; i += 1) {
      const grey = images.pixels[start + i];
      const cover = weights ? 0.92 * weights[i] : 0;
      for (let part = 0; part < 3; part += 1) {
        picture.data[4 * i + part] = (1 - cover) * grey + cover * EVIDENCE_COLOUR[part];
      }
      picture.data[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
    drawn.set(key, canvas.toDataURL());
  }
  return drawn.get(key);
};

const picture = (node, alt, weights = null) => html("img", { class: "pixels", src: pictureUrl(node, weights), alt });
