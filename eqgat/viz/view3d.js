// Draws one scene with 3Dmol.js. `scene` is the object that view3d.py writes; all lengths are in Å.
function eqgatDraw(viewer, scene) {
  "use strict";
  const colour = (index) => scene.palette[index];
  const model = viewer.addModel();
  if (scene.pdb) {
    model.addMolData(scene.pdb, "pdb", { keepH: true, altLoc: "*", noComputeSecondaryStructure: true });
  } else {
    const atoms = scene.elements.map((elem, i) => ({
      elem, serial: i, x: scene.positions[3 * i], y: scene.positions[3 * i + 1], z: scene.positions[3 * i + 2],
      bonds: [], bondOrder: [],
    }));
    for (let b = 0; b < scene.bonds.length; b += 2) {
      const [i, j] = [scene.bonds[b], scene.bonds[b + 1]];
      atoms[i].bonds.push(j); atoms[i].bondOrder.push(1);
      atoms[j].bonds.push(i); atoms[j].bondOrder.push(1);
    }
    model.addAtoms(atoms);
  }
  // A colour per atom, and the style of each, before anything is drawn.
  model.setStyle({}, {});
  model.selectedAtoms({}).forEach((atom, i) => {
    atom.color = colour(scene.colours[i]);
    if (scene.pdb) atom.ss = scene.secondary[i]; // helices and strands are those of the still
    const balls = { sphere: { radius: scene.radii[i] }, stick: { radius: scene.stick } };
    atom.style = scene.pdb && !atom.hetflag ? { cartoon: { thickness: 0.4, arrows: true } } : balls;
  });

  // All edges and arrows become a few meshes: one object is drawn much faster than thousands. 3Dmol splits a mesh of
  // 64,000 corners or more, but not its colours, so a new one is begun before.
  const empty = () => ({ vertexArr: [], normalArr: [], faceArr: [], color: [] });
  let mesh = empty();
  const flush = (limit) => {
    if (mesh.vertexArr.length <= limit) return;
    viewer.addCustom(mesh);
    mesh = empty();
  };
  const add = (a, s, b) => [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const length = (a) => Math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
  const norm = (a) => add([0, 0, 0], 1 / length(a), a);
  const rgb = (hex) => {
    const n = parseInt(hex.slice(1), 16);
    return { r: (n >> 16) / 255, g: ((n >> 8) & 255) / 255, b: (n & 255) / 255 };
  };
  const frame = (axis) => { // two unit vectors upright on an axis and on each other
    const u = norm(cross(axis, Math.abs(axis[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0]));
    return [u, cross(axis, u)];
  };
  const circles = {};
  const circle = (corners) => circles[corners] = circles[corners] || Array.from({ length: corners }, (_, s) =>
    [Math.cos((2 * Math.PI * s) / corners), Math.sin((2 * Math.PI * s) / corners)]);
  const corner = (centre, radius, out, tint) => {
    const [x, y, z] = add(centre, radius, out);
    mesh.vertexArr.push({ x, y, z });
    mesh.normalArr.push({ x: out[0], y: out[1], z: out[2] });
    mesh.color.push(tint);
  };
  // Faces between two circles of `sides` corners that begin at `a` and `b`.
  const band = (a, b, sides) => {
    for (let s = 0; s < sides; s++) {
      const t = (s + 1) % sides;
      mesh.faceArr.push(a + s, a + t, b + s, a + t, b + t, b + s);
    }
  };
  // A surface along `points` with one radius at each, `sides` corners round `axis`.
  const sweep = (points, radii, axis, tint, sides) => {
    const [u, v] = frame(axis);
    flush(60000);
    const first = mesh.vertexArr.length;
    points.forEach((point, k) => {
      for (const [c, s] of circle(sides)) corner(point, radii[k], add(add([0, 0, 0], c, u), s, v), tint);
      if (k > 0) band(first + (k - 1) * sides, first + k * sides, sides);
    });
  };
  const ring = (centre, axis, radius, thickness, tint) => {
    const [u, v] = frame(axis), around = 14, sides = 4;
    flush(60000);
    const first = mesh.vertexArr.length;
    circle(around).forEach(([c, s], k) => {
      const outward = add(add([0, 0, 0], c, u), s, v), middle = add(centre, radius, outward);
      for (const [x, y] of circle(sides)) corner(middle, thickness, add(add([0, 0, 0], x, outward), -y, axis), tint);
      band(first + k * sides, first + ((k + 1) % around) * sides, sides);
    });
  };
  const arrow = (start, end, width, head, tint, ringed, hollow) => {
    const along = add(end, -1, start), size = length(along);
    if (size < 1e-6) return;
    const axis = norm(along), cone = Math.min(head, 0.45 * size), neck = add(end, -cone, axis);
    sweep([start, start, neck], [0, width, width], axis, tint, 8);
    sweep([neck, neck, end], [0, 0.38 * cone, 0], axis, hollow ? rgb("#FFFFFF") : tint, 12);
    if (ringed) {
      const radius = Math.min(2.6 * width + 0.1 * head, 0.25 * size);
      ring(add(start, 0.5, add(neck, -1, start)), axis, radius, 0.45 * width, tint);
      ring(neck, axis, 0.38 * cone, 0.35 * width, tint);
    }
  };
  const triple = (list, k) => [list[3 * k], list[3 * k + 1], list[3 * k + 2]];
  const sides = scene.edges.colours.length > 500 ? 4 : 6;
  const tints = scene.palette.map(rgb);
  scene.edges.colours.forEach((index, k) => {
    const start = triple(scene.edges.start, k), end = triple(scene.edges.end, k), width = scene.edges.width;
    if (scene.edges.heads) arrow(start, end, width, 4 * width, tints[index], false, false);
    else sweep([start, end], [width, width], norm(add(end, -1, start)), tints[index], sides);
  });
  for (const set of scene.arrows) {
    for (let k = 0; 3 * k < set.start.length; k++) {
      arrow(triple(set.start, k), triple(set.end, k), set.width, set.head, rgb(set.colour), set.ring, set.hollow);
    }
  }
  flush(0);
  for (const [text, x, y, z] of scene.labels) {
    viewer.addLabel(text, {
      position: { x, y, z }, fontSize: 14, fontColor: "black", backgroundColor: "white", backgroundOpacity: 0.75,
      inFront: true, alignment: "bottomLeft",
    });
  }
  viewer.zoomTo({ model }); // the atoms: 3Dmol's box around a mesh also holds the origin, however far away
  viewer.zoom(scene.zoom);
  const look = viewer.getView();
  scene.quaternion.forEach((q, k) => { look[4 + k] = q; });
  viewer.setView(look); // py3Dmol renders at the end
}
