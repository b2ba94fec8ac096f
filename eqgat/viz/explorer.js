// The explorer's page: everything shown comes from the arrays that explorer.py stored; nothing of the model is computed
// here but sums over a residue. `window.eqgat` is for scripts and tests.
"use strict";
(async () => {
  const by = (id) => document.getElementById(id);
  const data = JSON.parse(by("data").textContent);
  const make = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };
  const sum = (list) => list.reduce((total, x) => total + x, 0);
  const number = (x, digits = 3) => Number.isFinite(x) ? String(Number(x.toPrecision(digits))).replace("-", "−") : "none";
  const fixed = (x) => Number.isFinite(x) ? x.toFixed(2).replace(/^-(?!0\.00$)/, "−").replace("-", "") : "none";

  // -- arrays: a compressed piece of text, found again by place, kind and step ---------------------------------------
  const unpack = (text) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")));
  };
  const bytes = new Uint8Array(await unpack(data.bytes).arrayBuffer());
  const read = (place) => {
    if (place.values) return place.values;
    const size = place.kind === "i2" ? 2 : 4, joined = new Uint8Array(size * place.count);
    for (let b = 0; b < size; b++) {
      for (let k = 0; k < place.count; k++) joined[size * k + b] = bytes[place.at + b * place.count + k];
    }
    if (place.kind === "f4") return place.values = new Float32Array(joined.buffer);
    if (place.kind === "u4") return place.values = new Uint32Array(joined.buffer);
    return place.values = Float64Array.from(new Int16Array(joined.buffer), (code) => code === -32768 ? NaN : code * place.step);
  };

  // -- molecules -----------------------------------------------------------------------------------------------------
  const structures = data.structures.map((stored, index) => {
    const one = {
      index, name: stored.name, read: stored.read, residues: stored.residues, atom: stored.atom, element: stored.element, models: stored.models,
      positions: read(stored.positions), residue: read(stored.residue), source: read(stored.edges.source),
      degree: read(stored.edges.degree), equal: read(stored.edges.equal), bonds: read(stored.bonds),
    };
    one.size = one.atom.length;
    one.first = new Uint32Array(one.size + 1); // edges into atom i are first[i] to first[i + 1]
    for (let i = 0; i < one.size; i++) one.first[i + 1] = one.first[i] + one.degree[i];
    one.atoms = one.residues.map(() => []);
    one.residue.forEach((r, i) => one.atoms[r].push(i));
    one.place = (i) => [one.positions[3 * i], one.positions[3 * i + 1], one.positions[3 * i + 2]];
    return one;
  });
  const chains = new Set(structures.flatMap((one) => one.residues.map((r) => r.chain))).size > 1;
  const shortName = ({ name, letter }) => letter && name.length > 2 ? name[0] + name.slice(1).toLowerCase() : name;
  const residueName = (one, r) => `${shortName(one.residues[r])} ${one.residues[r].number}${chains ? " " + one.residues[r].chain : ""}`;
  const atomName = (one, i) => `${one.atom[i]} of ${residueName(one, one.residue[i])}`;

  // What the training data did not have. A hetero group as a whole; where its elements are known, those too.
  const caution = (one, r) => {
    const said = [], unseen = data.seen ? [...new Set(one.atoms[r].map((i) => one.element[i]))].filter((element) => !data.seen.includes(element)) : [];
    if (one.residues[r].hetero) said.push(data.seen ? "is a hetero group, and the training data had none" : "is a hetero group; whether the training data had such is not known");
    if (unseen.length) said.push(`the training data had no ${unseen.join(", ")}: what stands for it in the model was never trained`);
    return said.length ? `${residueName(one, r)} ${said.join("; ")}.` : "";
  };

  // -- what is chosen, and the numbers that follow from it -----------------------------------------------------------
  const state = { quantity: "received", layer: data.layers - 1, group: 0, vector: 0, model: 0, view: "both", same: true, every: false, at: null };
  const quantity = () => data.quantities.find((one) => one.key === state.quantity);
  const isVector = () => state.quantity === "sum" || state.quantity.startsWith("v_");
  const isExtra = () => state.quantity.startsWith("extra");
  const TERMS = ["v_direction", "v_mix", "v_cross"];
  const layerOf = (one, model, layer = state.layer) => one.models[model][layer];
  const vectorAt = (one, model, term, i, layer = state.layer) => {
    if (term === "sum") return TERMS.map((t) => vectorAt(one, model, t, i, layer)).reduce((a, b) => a.map((x, k) => x + b[k]));
    const values = read(layerOf(one, model, layer).terms[term][state.vector]);
    return [values[3 * i], values[3 * i + 1], values[3 * i + 2]];
  };
  const size = (v) => Math.hypot(...v);
  // Of the residue r: summed over its atoms for attention received, averaged for entropy, at the alpha carbon for vectors.
  const residueValue = (one, model, r, layer = state.layer) => {
    const atoms = one.atoms[r];
    if (isVector()) return size(vectorAt(one, model, state.quantity, one.residues[r].trace, layer));
    if (isExtra()) {
      const pair = data.extra[Number(state.quantity.slice(5))];
      if (one.index > 0 || model >= pair.length) return NaN;
      return sum(atoms.map((i) => read(pair[model])[i]));
    }
    const values = read(layerOf(one, model, layer)[state.quantity][state.group]);
    if (state.quantity === "received") return Math.log2(sum(atoms.map((i) => values[i])) / sum(atoms.map((i) => one.equal[i])));
    return 100 * sum(atoms.map((i) => values[i])) / atoms.length;
  };
  const residueValues = (one, model, layer = state.layer) => one.residues.map((_, r) => residueValue(one, model, r, layer));
  const shareOf = (one, model, edge) => read(layerOf(one, model).share[state.group])[edge];
  const incoming = (one, i) => {
    const edges = [];
    for (let e = one.first[i]; e < one.first[i + 1]; e++) edges.push(e);
    return edges;
  };
  // The chosen atom in a structure: in the other one that of the same name, so that both can be compared.
  const chosen = (one) => {
    if (!state.at) return null;
    if (state.at.one === one.index) return state.at.atom;
    const here = structures[state.at.one], there = here.residues[here.residue[state.at.atom]];
    const r = one.residues.findIndex((residue) => residue.chain === there.chain && residue.number === there.number);
    return r < 0 ? null : one.atoms[r].find((i) => one.atom[i] === here.atom[state.at.atom]) ?? null;
  };
  const distance = (one, i, j) => size(one.place(i).map((x, k) => x - one.place(j)[k]));
  const shown = () => structures.filter((one) => structures.length === 1 || state.view === "both" || state.view === ["first", "second"][one.index]);

  // -- colours and scales: the same for both structures, and for trained and untrained weights if so chosen ----------
  let scale = { low: 0, high: 1, map: [], unit: 1 };
  const dark = () => document.documentElement.dataset.theme === "dark";
  // What is little fades into the page, but stays to be seen.
  const mapOf = (name) => name === "sequential" && dark() ? [...data.maps.sequential].reverse().slice(18) : data.maps[name];
  const tint = (value) => {
    if (!Number.isFinite(value)) return "#8a8a8a";
    const share = Math.min(1, Math.max(0, (value - scale.low) / (scale.high - scale.low || 1)));
    return scale.map[Math.round(share * (scale.map.length - 1))];
  };
  const MOST = 2; // edges: log₂ of an equal share, from a quarter to four times
  const edgeTint = (share) => {
    const map = data.maps.diverging, at = Math.min(MOST, Math.max(-MOST, Math.log2(share)));
    return map[Math.round((at + MOST) / (2 * MOST) * (map.length - 1))];
  };
  const roundUnit = (longest, length) => { // smallest of 1, 2, 5 times a power of ten that draws it at most so long
    if (!(longest > 0)) return 1;
    const need = longest / length, power = 10 ** Math.floor(Math.log10(need));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= need * (1 - 1e-9));
  };
  const rescale = () => {
    const models = state.same ? [0, 1] : [state.model];
    const layers = state.every && !isExtra() ? Array.from({ length: data.layers }, (_, layer) => layer) : [state.layer];
    const all = models.flatMap((model) => layers.flatMap((layer) => structures.flatMap((one) => residueValues(one, model, layer)))).filter(Number.isFinite);
    const most = Math.max(...all.map(Math.abs), 0) || 1;
    scale.map = mapOf(quantity().map);
    if (quantity().map === "diverging") [scale.low, scale.high] = [-most, most];
    else if (state.quantity === "effective") [scale.low, scale.high] = [0, 100];
    else [scale.low, scale.high] = [0, most];
    const extent = Math.max(...structures.map((one) => Math.max(...[0, 1, 2].map((axis) => {
      let [low, high] = [Infinity, -Infinity];
      for (let i = 0; i < one.size; i++) {
        low = Math.min(low, one.positions[3 * i + axis]);
        high = Math.max(high, one.positions[3 * i + axis]);
      }
      return high - low;
    }))));
    // Nine of ten arrows are shorter than `arrow` Å, the longest at most three times as long.
    const order = all.map(Math.abs).sort((a, b) => a - b);
    scale.arrow = Math.max(4, 0.12 * extent);
    scale.unit = roundUnit(Math.max(order[Math.floor(0.9 * order.length)] || 0, most / 3), scale.arrow);
  };
  const rescaleNear = () => { scale.near = roundUnit(Math.max(...structures.flatMap(nearVectors).map(([, , v]) => size(v)), 0), 4); };

  // -- 3D ------------------------------------------------------------------------------------------------------------
  const views = [];
  const background = () => dark() ? "#14171b" : "#ffffff";
  const termTint = (term) => data.terms[term] || (dark() ? "#ffffff" : "#000000");
  const look = (term, width, head) => {
    const kind = data.kinds[term][state.layer];
    return { colour: termTint(term), width, head, hollow: kind === "axial", ring: kind !== "polar" };
  };
  const plus = (a, v, s = 1) => a.map((x, k) => x + s * v[k]);
  const isCartoon = (one, r) => one.residues[r].polymer && one.cartoon.has(one.residues[r].chain);
  const home = ({ viewer, box }) => { // all of it, from where it is widest; 3Dmol's camera stands at 150 Å and sees 20°
    const { centre, turn, half } = data.camera;
    const reach = 1.1 * Math.max(5, half[1], half[0] * box.clientHeight / box.clientWidth);
    viewer.setView([...centre.map((x) => -x), 150 - reach / Math.tan(Math.PI / 18), ...turn]);
  };
  const begin = (one) => {
    // A chain of alpha carbons or phosphorus atoms is a cartoon, everything else balls and sticks.
    const count = {};
    for (const residue of one.residues) {
      if (residue.polymer && ["CA", "P"].includes(one.atom[residue.trace])) count[residue.chain] = (count[residue.chain] || 0) + 1;
    }
    one.cartoon = new Set(Object.keys(count).filter((chain) => count[chain] > 3));
    const figure = make("figure", { "data-index": one.index });
    const box = make("div", { class: "box", tabindex: 0, role: "application",
      "aria-label": `3D view of ${one.name || data.title}: arrow keys turn it, plus and minus zoom, Home shows all` });
    figure.append(box, make("figcaption", {}, structures.length > 1 ? one.name : ""));
    by("views").append(figure);
    const viewer = $3Dmol.createViewer(box, { id: `canvas${one.index}`, backgroundColor: background(), antialias: eqgatSmooth(), disableFog: true });
    if (!viewer || !box.querySelector("canvas")) throw new Error("this browser offers no WebGL");
    const model = viewer.addModel();
    const atoms = Array.from({ length: one.size }, (_, i) => {
      const r = one.residue[i], residue = one.residues[r], [x, y, z] = one.place(i);
      return { serial: i, x, y, z, elem: one.element[i], atom: one.atom[i], resn: residue.name, chain: residue.chain || "_",
        resi: r, hetflag: !isCartoon(one, r), ss: residue.shape, bonds: [], bondOrder: [] };
    });
    one.residues.forEach((residue, r) => {
      const ends = (next) => !one.residues[next] || one.residues[next].shape !== residue.shape || one.residues[next].chain !== residue.chain;
      for (const i of one.atoms[r]) Object.assign(atoms[i], { ssbegin: ends(r - 1), ssend: ends(r + 1) });
    });
    for (let b = 0; b < one.bonds.length; b += 2) {
      const [i, j] = [one.bonds[b], one.bonds[b + 1]];
      atoms[i].bonds.push(j); atoms[i].bondOrder.push(1);
      atoms[j].bonds.push(i); atoms[j].bondOrder.push(1);
    }
    model.addAtoms(atoms);
    const view = { one, box, viewer, model, near: null, shapes: [], figure };
    views.push(view);
    paint(view);
    home(view);
    listen(view);
    return view;
  };
  const opacityOf = (one) => chosen(one) !== null ? 0.35 : isVector() ? 0.6 : 1; // so that what lies inside is seen
  const fade = (view) => { // the drawn molecule, without making it anew: a click is answered at once
    const change = (part) => {
      if (part.material) Object.assign(part.material, { opacity: opacityOf(view.one), transparent: true });
      part.children.forEach(change);
    };
    if (view.model.renderedMolObj) change(view.model.renderedMolObj);
  };
  const paint = (view) => { // colours of residues: 3Dmol makes the cartoon anew
    const { one, model } = view, values = residueValues(one, state.model);
    const opacity = opacityOf(one);
    view.colours = values.map(tint);
    model.selectedAtoms({}).forEach((atom, i) => {
      const r = one.residue[i];
      atom.color = view.colours[r];
      atom.style = isCartoon(one, r) ? { cartoon: { thickness: 0.4, arrows: true, opacity } }
        : { stick: { radius: 0.15, opacity }, sphere: { radius: 0.4, opacity } };
    });
    model.setStyle({}, {}, true); // nothing changes but that the model is drawn anew
  };
  const nearVectors = (one) => { // term, start and vector of the arrows at the chosen atom
    const i = chosen(one);
    return i === null ? [] : [...TERMS, "sum"].map((term) => [term, one.place(i), vectorAt(one, state.model, term, i)]);
  };
  const arrowsOf = (view) => {
    const { one } = view;
    if (chosen(one) !== null) return nearVectors(one).map(([term, start, v]) => ({ term, start, end: plus(start, v, 1 / scale.near), near: true }));
    if (!isVector()) return [];
    return one.residues.map((residue, r) => {
      const start = one.place(residue.trace);
      return { residue: r, term: state.quantity, start, end: plus(start, vectorAt(one, state.model, state.quantity, residue.trace), 1 / scale.unit) };
    });
  };
  const draw = (view) => { // arrows, and the neighbourhood of the chosen atom
    const { one, viewer } = view;
    view.shapes.forEach((shape) => viewer.removeShape(shape));
    if (view.near) { viewer.removeModel(view.near); view.near = null; }
    viewer.removeAllLabels();
    const mesh = eqgatMesh();
    view.arrows = arrowsOf(view);
    view.edges = [];
    for (const { term, start, end, near } of view.arrows) mesh.arrow(start, end, near ? look(term, 0.1, 0.6) : look(term, 0.028 * scale.arrow, 0.25 * scale.arrow));
    const i = chosen(one);
    if (i !== null) {
      const edges = incoming(one, i);
      const rows = [...new Set([i, ...edges.map((e) => one.source[e]), ...one.atoms[one.residue[i]]])];
      const at = new Map(rows.map((row, k) => [row, k]));
      const atoms = rows.map((row, k) => {
        const [x, y, z] = one.place(row);
        return { serial: k, x, y, z, elem: one.element[row], bonds: [], bondOrder: [], color: data.elements[one.element[row]] || data.elements[""],
          style: { stick: { radius: 0.09 }, sphere: { radius: row === i ? 0.36 : 0.27 } } };
      });
      for (let b = 0; b < one.bonds.length; b += 2) {
        const [a, c] = [at.get(one.bonds[b]), at.get(one.bonds[b + 1])];
        if (a === undefined || c === undefined) continue;
        atoms[a].bonds.push(c); atoms[a].bondOrder.push(1);
        atoms[c].bonds.push(a); atoms[c].bondOrder.push(1);
      }
      view.near = viewer.addModel();
      view.near.addAtoms(atoms);
      view.near.setStyle({}, {}, true);
      for (const e of edges) {
        const share = shareOf(one, state.model, e), colour = edgeTint(share), j = one.source[e];
        view.edges.push({ source: j, receiver: i, share, colour });
        mesh.tube(one.place(j), one.place(i), 0.02 + 0.025 * Math.min(4, share), colour, 6);
      }
      const label = (row, text) => viewer.addLabel(text, { position: { x: one.place(row)[0], y: one.place(row)[1], z: one.place(row)[2] },
        fontSize: 13, fontColor: dark() ? "white" : "black", backgroundColor: background(), backgroundOpacity: 0.7, inFront: true,
        alignment: "bottomLeft", screenOffset: { x: 7, y: 7 } }); // beside its atom
      label(i, atomName(one, i));
      // The three neighbours that get most, by name.
      for (const edge of [...view.edges].sort((a, b) => b.share - a.share).slice(0, 3)) label(edge.source, `${one.atom[edge.source]} ${residueName(one, one.residue[edge.source])}`);
    }
    view.shapes = mesh.into(viewer);
  };
  const listen = (view) => {
    const { box, viewer } = view;
    let down = null;
    box.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
    box.addEventListener("pointerup", (event) => {
      if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 6) return;
      const found = pick(view, event.clientX, event.clientY, event.pointerType === "touch" ? 24 : 14);
      if (found !== null) choose(view.one.index, found);
    });
    let last = 0;
    box.addEventListener("pointermove", (event) => {
      if (event.buttons || event.pointerType === "touch" || event.timeStamp - last < 80) return;
      last = event.timeStamp;
      const found = pick(view, event.clientX, event.clientY, 14);
      if (found !== null) tell(view.one, view.one.residue[found], found);
    });
    box.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] }[event.key];
      if (turn) viewer.rotate(...turn);
      else if (event.key === "+" || event.key === "=") viewer.zoom(1.2);
      else if (event.key === "-") viewer.zoom(1 / 1.2);
      else if (event.key === "Home") home(view);
      else return;
      event.preventDefault();
      viewer.render();
    });
  };
  // Atom -> pixels from the corner of the window, and its depth: how near it is to the eye.
  const onScreen = (view, rows) => {
    const { one, viewer } = view, [, , , , qx, qy, qz, qw] = viewer.getView();
    const points = rows.map((i) => ({ x: one.positions[3 * i], y: one.positions[3 * i + 1], z: one.positions[3 * i + 2] }));
    return viewer.modelToScreen(points).map(({ x, y }, k) => {
      const p = points[k];
      const depth = 2 * (qx * qz - qw * qy) * p.x + 2 * (qy * qz + qw * qx) * p.y + (1 - 2 * (qx * qx + qy * qy)) * p.z;
      return [x - window.scrollX, y - window.scrollY, depth];
    });
  };
  const pick = (view, x, y, reach) => { // of the drawn atoms near a point: the neighbourhood's first, then the nearest to the eye
    const { one } = view;
    const near = chosen(one) === null ? [] : [chosen(one), ...view.edges.map((edge) => edge.source)];
    const rest = [];
    for (let i = 0; i < one.size; i++) {
      const r = one.residue[i];
      if (!isCartoon(one, r) || one.residues[r].trace === i || ["N", "C"].includes(one.atom[i])) rest.push(i);
    }
    for (const [rows, most] of [[near, reach], [rest, reach]]) {
      let best = null;
      onScreen(view, rows).forEach(([px, py, depth], k) => {
        const away = Math.hypot(px - x, py - y);
        if (away <= most && (!best || depth - away / 4 > best.rank)) best = { rank: depth - away / 4, row: rows[k] };
      });
      if (best) return isCartoon(one, one.residue[best.row]) && rows === rest ? one.residues[one.residue[best.row]].trace : best.row;
    }
    return null;
  };

  // -- words, tables, key --------------------------------------------------------------------------------------------
  const WEIGHTS = ["trained", "untrained"];
  const range = (values, one) => {
    const order = values.map((_, r) => r).filter((r) => Number.isFinite(values[r])).sort((a, b) => values[a] - values[b]);
    return order.length ? [order[0], order[order.length - 1]] : null;
  };
  const where = () => isExtra() ? "" : `, layer ${state.layer + 1}, ${isVector() ? `vector channel ${data.vectors[state.vector]}` : data.groups[state.group]}`;
  const sentence = () => {
    const parts = [];
    for (const one of shown()) {
      const name = one.name || data.title;
      const i = chosen(one);
      if (i !== null) {
        const edges = incoming(one, i).sort((a, b) => shareOf(one, state.model, b) - shareOf(one, state.model, a));
        if (!edges.length) { parts.push(`${name}: ${atomName(one, i)} has no neighbours within ${data.cutoff} Å.`); continue; }
        const e = edges[0], shares = edges.map((edge) => shareOf(one, state.model, edge));
        const nearAll = edges.length > 1 && shares[0] <= 1.05 * shares[edges.length - 1];
        const second = !nearAll && edges.length > 1 && shares[0] <= 1.05 * shares[1] ? `; nearly as much to ${atomName(one, one.source[edges[1]])}` : "";
        parts.push(`${name}, ${WEIGHTS[state.model]} weights, layer ${state.layer + 1}, ${data.groups[state.group]}: ${atomName(one, i)} has ` +
          `${edges.length} neighbours within ${data.cutoff} Å and listens ${nearAll ? "nearly equally to all; most to" : "most to"} ${atomName(one, one.source[e])}, ${distance(one, i, one.source[e]).toFixed(1)} Å away: ` +
          `${fixed(shareOf(one, 0, e))} equal shares trained, ${fixed(shareOf(one, 1, e))} untrained, 1 with uniform weights${second}.`,
          ...[caution(one, one.residue[i])].filter(Boolean).map((text) => `Caution: ${text}`));
      } else {
        const values = residueValues(one, state.model), ends = range(values), control = residueValues(one, 1 - state.model), far = range(control);
        if (!ends) { parts.push(`${name}: no value of ${quantity().label} for these weights.`); continue; }
        parts.push(`${name}, ${WEIGHTS[state.model]} weights: ${quantity().label}${isExtra() ? "" : ` (${quantity().unit})`}${where()}, by residue from ` +
          `${number(values[ends[0]])} (${residueName(one, ends[0])}) to ${number(values[ends[1]])} (${residueName(one, ends[1])})` +
          (far ? `; ${WEIGHTS[1 - state.model]}: ${number(control[far[0]])} to ${number(control[far[1]])}` : "") +
          (quantity().uniform !== undefined ? `; uniform weights: ${quantity().uniform}` : "") + ".",
          ...[...new Set(ends)].map((r) => caution(one, r)).filter(Boolean).map((text) => `Caution: ${text}`));
      }
    }
    return parts.join(" ");
  };
  const KINDS = { polar: "filled arrow", axial: "hollow head, rings", mixed: "filled, rings" };
  // The key, as items of one line each: words, colour bars, swatches and signs. The page and the saved picture draw them.
  const arrowKey = (term) => {
    const kind = data.kinds[term][state.layer];
    return [{ sign: { polar: "➞", axial: "⇨", mixed: "➲" }[kind], colour: termTint(term) }, `${data.quantities.find((q) => q.key === term).label}: ${kind} (${KINDS[kind]})`];
  };
  const ARROWS = "arrows: vectors inside the model, not forces; polar: turns over in a mirror; axial: does not; mixed: a sum of both (layers after the first)";
  const NAMED = { C: "C grey", N: "N blue", O: "O orange", S: "S yellow" };
  const atomKey = () => {
    const drawn = new Set(shown().filter((one) => chosen(one) !== null).flatMap((one) => [...one.atoms[one.residue[chosen(one)]], ...incoming(one, chosen(one)).map((e) => one.source[e])].map((i) => one.element[i])));
    return ["atoms:", ...[...drawn].sort().flatMap((element, k) => [{ swatch: data.elements[element] || data.elements[""] }, (NAMED[element] || element) + (k < drawn.size - 1 ? "," : "")])];
  };
  const full = () => { // what the ends of a scale in log₂ mean
    if (!quantity().unit.startsWith("log₂")) return [];
    const times = 2 ** scale.high;
    return [times < 1.1 ? `(full colour: ${number(100 * (times - 1), 2)} % more than an equal share)` : `(full colour: ${number(times, 2)} times an equal share)`];
  };
  const keyItems = () => {
    const items = [[`Residues, ${quantity().unit}:`, number(scale.low), { bar: scale.map, name: "colour bar" }, number(scale.high), ...full()]];
    if (state.at) {
      items.push(["Edges, equal shares:", "≤ ¼", { bar: data.maps.diverging, name: "colour bar of edges" }, "≥ 4; grey is 1"], atomKey(),
        ...[...TERMS, "sum"].map(arrowKey), [ARROWS], [`an arrow of 1 Å: |v| = ${number(scale.near)}`]);
    } else if (isVector()) items.push(arrowKey(state.quantity), [ARROWS], [`an arrow of 1 Å: |v| = ${number(scale.unit)}`]);
    return items;
  };
  const keyPart = (part) => {
    if (typeof part === "string") return part;
    if (part.bar) return make("span", { class: "bar", role: "img", "aria-label": part.name, style: `background:linear-gradient(to right, ${part.bar.join(",")})` });
    if (part.swatch) return make("span", { class: "swatch", style: `background:${part.swatch}` });
    return make("b", { style: `color:${part.colour}`, "aria-hidden": "true" }, part.sign);
  };
  const drawKey = () => by("key").replaceChildren(...keyItems().map((parts) => {
    const item = make("span");
    item.append(...parts.flatMap((part) => [keyPart(part), " "]));
    return item;
  }));
  const cell = (row, content, head = false) => {
    const td = make(head ? "th" : "td", head ? { scope: "col" } : {});
    td.append(content);
    row.append(td);
    return td;
  };
  const neighbours = () => { // rows of the table, those that get most first
    const one = structures[state.at.one], i = state.at.atom;
    return incoming(one, i).map((e) => ({ atom: one.source[e], distance: distance(one, i, one.source[e]), trained: shareOf(one, 0, e), untrained: shareOf(one, 1, e) }))
      .sort((a, b) => b[WEIGHTS[state.model]] - a[WEIGHTS[state.model]]);
  };
  const drawDetails = () => {
    const box = by("details");
    if (!state.at) {
      box.replaceChildren(make("h2", {}, "Nothing chosen yet"), make("p", {}, "Click the molecule or the sequence. You see the atom's neighbours, how much attention each of them gets, and the vectors that the layer builds."));
      return;
    }
    const one = structures[state.at.one], i = state.at.atom, r = one.residue[i];
    const title = make("h2", {}, `${residueName(one, r)}, atom ${one.atom[i]}`);
    const values = [0, 1].map((model) => residueValue(one, model, r));
    const uniform = quantity().uniform;
    const line = make("p", {}, `Residue, ${quantity().unit}: trained ${fixed(values[0])}, untrained ${fixed(values[1])}` + (uniform === undefined ? "" : `, uniform ${uniform}`) + ".");
    const warning = caution(one, r) ? [make("p", { class: "caution" }, `Caution: ${caution(one, r)}`)] : [];
    const buttons = make("div", { class: "buttons", role: "group", "aria-label": `Atoms of ${residueName(one, r)}` });
    for (const row of one.atoms[r]) {
      const button = make("button", { type: "button", "aria-pressed": row === i }, one.atom[row]);
      button.addEventListener("click", () => { choose(one.index, row); by("details").querySelector("[aria-pressed='true']").focus(); });
      buttons.append(button);
    }
    const vectors = make("table");
    vectors.append(make("caption", {}, `Vectors on ${one.atom[i]}, layer ${state.layer + 1}, vector channel ${data.vectors[state.vector]}`));
    const top = make("tr"), head = make("thead"), body = make("tbody");
    for (const text of ["term", "kind", "|v| trained", "|v| untrained"]) cell(top, text, true);
    head.append(top);
    for (const term of [...TERMS, "sum"]) {
      const row = make("tr");
      cell(row, data.quantities.find((q) => q.key === term).label).prepend(make("span", { class: "swatch", style: `background:${termTint(term)}` }));
      cell(row, data.kinds[term][state.layer]);
      for (const model of [0, 1]) cell(row, number(size(vectorAt(one, model, term, i))));
      body.append(row);
    }
    vectors.append(head, body);
    const table = make("table", { id: "neighbours" });
    table.append(make("caption", {}, `${one.degree[i]} neighbours within ${data.cutoff} Å: attention in equal shares, layer ${state.layer + 1}, ${data.groups[state.group]}`));
    const thead = make("thead"), names = make("tr"), tbody = make("tbody");
    for (const text of ["atom", "residue", "Å", "trained", "uniform", "untrained"]) cell(names, text, true);
    thead.append(names);
    for (const neighbour of neighbours()) {
      const row = make("tr", { "data-atom": neighbour.atom }), button = make("button", { type: "button" }, one.atom[neighbour.atom]);
      button.setAttribute("aria-label", `go to ${atomName(one, neighbour.atom)}`);
      button.addEventListener("click", () => { choose(one.index, neighbour.atom); by("details").focus(); });
      cell(row, button);
      cell(row, residueName(one, one.residue[neighbour.atom]));
      cell(row, neighbour.distance.toFixed(2));
      const share = neighbour[WEIGHTS[state.model]];
      const at = [cell(row, fixed(neighbour.trained)), cell(row, "1.00"), cell(row, fixed(neighbour.untrained))][state.model ? 2 : 0];
      at.prepend(make("span", { class: "swatch", style: `background:${edgeTint(share)}` }));
      tbody.append(row);
    }
    table.append(thead, tbody);
    box.replaceChildren(title, ...warning, line, buttons, vectors, table);
  };
  const HINT = by("here").textContent;
  let told = null; // the residue under the pointer, to be told anew when something else is shown of it
  const tell = (one, r, atom) => {
    told = [one, r, atom];
    by("here").textContent = `${atom === undefined ? residueName(one, r) : atomName(one, atom)}: ${quantity().unit} of the residue ${fixed(residueValue(one, state.model, r))}`;
  };
  const retell = () => {
    if (told && shown().includes(told[0])) tell(...told);
    else by("here").textContent = HINT;
  };

  // -- the sequence: one list a structure, in which one residue can be reached by Tab and the others by arrow keys ----
  const ink = (hex) => { // black or white, whichever is read better on a colour
    const [red, green, blue] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255).map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
  };
  const strips = structures.map((one) => {
    const strip = make("div", { class: "strip", role: "listbox", "aria-label": `Sequence of ${one.name || data.title}`, "aria-orientation": "horizontal" });
    let chain = null, count = 0;
    const cells = one.residues.map((residue, r) => {
      const part = `chain ${residue.chain || "–"}${residue.polymer ? "" : ", other groups:"}`;
      if (part !== chain) {
        strip.append(make("span", { class: residue.polymer ? "chain" : "chain gap", "aria-hidden": "true" }, part));
        [chain, count] = [part, 0];
      }
      if (residue.letter && count++ % 10 === 0) strip.append(make("span", { class: "number", "aria-hidden": "true" }, residue.number));
      const item = make("div", { role: "option", tabindex: r === 0 ? 0 : -1, "aria-selected": "false" }, residue.letter || `${residue.name} ${residue.number}`);
      item.addEventListener("click", () => choose(one.index, residue.trace));
      item.addEventListener("pointerenter", () => tell(one, r));
      item.addEventListener("focus", () => tell(one, r));
      strip.append(item);
      return item;
    });
    strip.addEventListener("keydown", (event) => {
      const at = cells.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + 10, ArrowUp: at - 10, Home: 0, End: cells.length - 1 }[event.key];
      if (event.key === "Enter" || event.key === " ") choose(one.index, one.residues[at].trace);
      else if (to === undefined) return;
      else move(cells, Math.min(cells.length - 1, Math.max(0, to)));
      event.preventDefault();
    });
    by("strips").append(strip);
    return { strip, cells };
  });
  const move = (cells, to) => {
    cells.forEach((item, r) => item.setAttribute("tabindex", r === to ? 0 : -1));
    cells[to].focus();
  };
  const drawStrip = (one) => {
    const values = residueValues(one, state.model);
    strips[one.index].cells.forEach((item, r) => {
      const colour = tint(values[r]);
      item.style.background = colour;
      item.style.color = ink(colour);
      item.setAttribute("aria-label", `${residueName(one, r)}, ${fixed(values[r])}`);
    });
    strips[one.index].strip.hidden = !shown().includes(one);
  };
  const markStrip = (one) => {
    const { strip, cells } = strips[one.index];
    for (const item of strip.querySelectorAll("[aria-selected='true']")) item.setAttribute("aria-selected", "false");
    if (chosen(one) === null) return;
    const item = cells[one.residue[chosen(one)]];
    item.setAttribute("aria-selected", "true");
    cells.forEach((other) => other.setAttribute("tabindex", other === item ? 0 : -1));
    strip.scrollTop = item.offsetTop - 40;
  };

  // -- drawing anew --------------------------------------------------------------------------------------------------
  const once = ({ viewer }, change) => { // each step of 3Dmol's draws the whole picture: here all steps, then one picture
    viewer.show = () => viewer;
    try { change(); } finally { delete viewer.show; }
    viewer.show();
  };
  const drawWords = () => {
    structures.forEach(markStrip);
    drawKey();
    drawDetails();
    by("sentence").textContent = sentence();
  };
  const update = () => {
    rescale();
    rescaleNear();
    for (const view of views) {
      view.figure.hidden = !shown().includes(view.one);
      once(view, () => {
        paint(view);
        draw(view);
        view.viewer.render();
      });
    }
    by("views").classList.toggle("two", shown().length > 1);
    structures.forEach(drawStrip);
    drawWords();
    retell();
  };
  const choose = (index, atom) => {
    const one = structures[index];
    state.at = { one: index, atom };
    rescaleNear();
    for (const view of views) {
      once(view, () => {
        fade(view);
        draw(view);
        view.viewer.render();
        if (view.one === one) view.viewer.zoomTo({ model: view.near });
      });
    }
    drawWords();
  };
  const leave = () => {
    state.at = null;
    update();
    views.forEach(home);
  };

  // -- controls ------------------------------------------------------------------------------------------------------
  const option = (value, text) => make("option", { value }, text);
  by("quantity").append(...data.quantities.map((one) => option(one.key, one.label)));
  by("layer").append(...Array.from({ length: data.layers }, (_, k) => option(k, String(k + 1))));
  by("channel").append(...data.groups.map((label, k) => option(k, label)));
  by("vector").append(...data.vectors.map((channel, k) => option(k, `channel ${channel}`)));
  by("layer").value = state.layer;
  for (const [id, key] of [["quantity", "quantity"], ["layer", "layer"], ["channel", "group"], ["vector", "vector"]]) {
    by(id).addEventListener("change", (event) => { state[key] = key === "quantity" ? event.target.value : Number(event.target.value); update(); });
  }
  const press = (ids, pressed) => ids.forEach((id) => by(id).setAttribute("aria-pressed", id === pressed));
  WEIGHTS.forEach((id, model) => by(id).addEventListener("click", () => { state.model = model; press(WEIGHTS, id); update(); }));
  const WHICH = ["first", "second", "both"];
  by("which").hidden = structures.length === 1;
  WHICH.forEach((id) => by(id).addEventListener("click", () => { state.view = id; press(WHICH, id); update(); }));
  by("same").addEventListener("change", (event) => { state.same = event.target.checked; update(); });
  by("every").addEventListener("change", (event) => { state.every = event.target.checked; update(); });
  by("controls").addEventListener("submit", (event) => event.preventDefault());
  by("whole").addEventListener("click", leave);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && state.at) leave(); });
  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    by("theme").textContent = theme === "dark" ? "Light" : "Dark"; // what it will bring
    for (const view of views) view.viewer.setBackgroundColor(background());
  };
  by("theme").addEventListener("click", () => { setTheme(dark() ? "light" : "dark"); update(); });
  setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

  // -- files ---------------------------------------------------------------------------------------------------------
  const save = (name, address) => make("a", { href: address, download: name }).click();
  const fileName = () => data.title.replace(/[^A-Za-z0-9_-]+/g, "-");
  const csv = () => {
    const quote = (x) => /[",\n]/.test(String(x)) ? `"${String(x).replaceAll('"', '""')}"` : String(x);
    const rows = [];
    if (state.at) {
      const one = structures[state.at.one], of = (i) => { const r = one.residues[one.residue[i]]; return [r.chain, r.number, r.name, one.atom[i]]; };
      rows.push(["structure", "layer", "channels", "chain", "residue", "name", "atom", "neighbour chain", "neighbour residue", "neighbour name", "neighbour atom", "distance (Å)", "trained (equal shares)", "uniform", "untrained", "model", "caution"]);
      for (const n of neighbours()) rows.push([one.name, state.layer + 1, data.groups[state.group], ...of(state.at.atom), ...of(n.atom), n.distance.toFixed(3), n.trained.toFixed(3), 1, n.untrained.toFixed(3), data.model, caution(one, one.residue[n.atom])]);
    } else {
      const vector = isVector();
      rows.push(["structure", "chain", "residue", "name", "quantity", "layer", "channel", "trained", "untrained", "uniform", ...(vector ? ["x", "y", "z"] : []), "model", "caution"]);
      for (const one of shown()) one.residues.forEach((residue, r) => {
        const v = vector ? vectorAt(one, state.model, state.quantity, residue.trace).map((x) => x.toPrecision(5)) : [];
        rows.push([one.name, residue.chain, residue.number, residue.name, quantity().unit, isExtra() ? "" : state.layer + 1, isExtra() ? "" : vector ? data.vectors[state.vector] : data.groups[state.group],
          ...[0, 1].map((model) => residueValue(one, model, r)).map((x) => Number.isFinite(x) ? x.toPrecision(6) : ""), quantity().uniform ?? "", ...v, data.model, caution(one, r)]);
      });
    }
    return rows.map((row) => row.map(quote).join(",")).join("\n") + "\n";
  };
  by("csv").addEventListener("click", () => save(`${fileName()}.csv`, URL.createObjectURL(new Blob([csv()], { type: "text/csv" }))));
  // The views side by side, and below them model, sentence and key, so that the picture explains itself.
  const picture = () => {
    const drawn = views.filter((view) => !view.figure.hidden).map((view) => view.box.querySelector("canvas"));
    views.forEach((view) => view.viewer.render());
    const canvas = make("canvas"), pen = canvas.getContext("2d"), font = "18px sans-serif", line = 25, edge = 10, bar = 160;
    pen.font = font;
    const wide = (part) => typeof part === "string" ? pen.measureText(`${part} `).width : part.bar ? bar + 6 : 20;
    const items = keyItems();
    const width = canvas.width = Math.ceil(Math.max(700, sum(drawn.map((one) => one.width)), ...items.map((parts) => sum(parts.map(wide)) + 2 * edge)));
    pen.font = font; // a canvas forgets it when its size changes
    const height = Math.max(...drawn.map((one) => one.height));
    const lines = [`${data.title}; ${data.model}.`, ""];
    for (const word of sentence().split(" ")) {
      const last = lines.length - 1;
      if (pen.measureText(`${lines[last]} ${word}`).width > width - 2 * edge) lines.push(word);
      else lines[last] += `${lines[last] && " "}${word}`;
    }
    const rows = [...lines.map((text) => [text]), ...items], ink = dark() ? "#ffffff" : "#000000";
    canvas.height = height + line * (rows.length + 0.6);
    pen.fillStyle = background();
    pen.fillRect(0, 0, canvas.width, canvas.height);
    drawn.reduce((x, one) => { pen.drawImage(one, x, 0); return x + one.width; }, 0);
    pen.font = font;
    rows.forEach((parts, k) => parts.reduce((x, part) => {
      const y = height + line * (k + 1);
      if (typeof part === "string") { pen.fillStyle = ink; pen.fillText(part, x, y); return x + wide(part); }
      pen.fillStyle = part.swatch || part.colour || pen.createLinearGradient(x, 0, x + bar, 0);
      if (part.bar) part.bar.forEach((colour, step) => pen.fillStyle.addColorStop(step / (part.bar.length - 1), colour));
      pen.fillRect(x, y - 14, part.bar ? bar : 14, 15);
      return x + wide(part);
    }, edge));
    return canvas.toDataURL("image/png");
  };
  by("png").addEventListener("click", () => save(`${fileName()}.png`, picture()));
  by("words").addEventListener("click", async () => {
    const note = by("here");
    try { await navigator.clipboard.writeText(sentence()); note.textContent = "The sentence is in the clipboard."; }
    catch { getSelection().selectAllChildren(by("sentence")); note.textContent = "The sentence is marked: copy it with your keys."; }
  });

  // -- on another page: the frame grows with what it shows, so that nobody has to scroll within it ------------------
  let frame = null;
  try { frame = window.frameElement; } catch { /* the page around it is of another origin */ }
  if (frame) {
    document.documentElement.classList.add("framed");
    new ResizeObserver(() => { frame.style.height = `${document.body.offsetHeight + 4}px`; }).observe(document.body);
  }

  // -- begin ---------------------------------------------------------------------------------------------------------
  by("facts").textContent = structures.map((one) => `${one.name || data.title}: ${one.size.toLocaleString("en")} atoms, ${one.residues.length.toLocaleString("en")} residues, ${one.source.length.toLocaleString("en")} edges; ${one.read}`).join(". ");
  const strange = structures.map((one) => {
    const names = [...new Set(one.residues.map((residue, r) => caution(one, r) && residue.name).filter(Boolean))];
    return names.length ? ` ${data.seen ? "Not in the training data" : "Hetero groups, perhaps not in the training data"}: ${names.join(", ")} of ${one.name || data.title}.` : "";
  }).join("");
  by("notes").textContent = "The number of a residue: attention received is summed over its atoms and compared with the sum of their equal shares; entropy is the mean over its atoms; vectors are those of the alpha carbon. " +
    `Attention is in equal shares: 1 is what uniform weights give. log₂ of a share: 0 is an equal share, 1 twice as much, −1 half. ${data.kept}. Shares are stored to ±0.0025 (single channels ±0.01), vectors to ±1/8,190 of the largest of their channel.${strange}`;
  rescale();
  try {
    const library = by("library"), tag = make("script");
    if (library.textContent) tag.textContent = await unpack(library.textContent).text();
    else tag.src = library.dataset.address;
    const loaded = new Promise((resolve, reject) => { tag.onload = resolve; tag.onerror = reject; });
    document.head.append(tag);
    if (tag.src) await loaded;
    structures.forEach(begin);
    by("missing").hidden = true;
    if (views.length > 1) { views[0].viewer.linkViewer(views[1].viewer); views[1].viewer.linkViewer(views[0].viewer); }
  } catch (error) {
    console.error(error);
    by("views").hidden = true;
  }
  update();
  window.eqgat = { state, data, views, structures, choose, leave, csv, picture, sentence, onScreen, residueValues, neighbours, tint, read, drawn: performance.now() };
})();
