// Draws one scene with 3Dmol.js. `scene` is the object that view3d.py writes; all lengths are in Å.
function eqgatDraw(viewer, scene) {
  "use strict";
  const colour = (index) => scene.palette[index];
  const model = viewer.addModel();
  if (scene.pdb) {
    model.addMolData(scene.pdb, "pdb", { keepH: true, altLoc: "*" });
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
    const balls = { sphere: { radius: scene.radii[i] }, stick: { radius: scene.stick } };
    atom.style = scene.pdb && !atom.hetflag ? { cartoon: { thickness: 0.6 } } : balls;
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
  const add = (a, s, b) => a.map((x, k) => x + s * b[k]);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const norm = (a) => { const n = Math.hypot(...a); return a.map((x) => x / n); };
  const xyz = (a) => ({ x: a[0], y: a[1], z: a[2] });
  const rgb = (hex) => {
    const n = parseInt(hex.slice(1), 16);
    return { r: (n >> 16) / 255, g: ((n >> 8) & 255) / 255, b: (n & 255) / 255 };
  };
  // A surface swept along `points` with one radius at each, `sides` corners round `axis`.
  const sweep = (points, radii, axis, tint, sides) => {
    const u = norm(cross(axis, Math.abs(axis[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0])), v = cross(axis, u);
    flush(60000);
    const first = mesh.vertexArr.length;
    points.forEach((point, k) => {
      for (let s = 0; s < sides; s++) {
        const t = (2 * Math.PI * s) / sides;
        const out = u.map((x, c) => Math.cos(t) * x + Math.sin(t) * v[c]);
        mesh.vertexArr.push(xyz(add(point, radii[k], out)));
        mesh.normalArr.push(xyz(out));
        mesh.color.push(tint);
      }
      if (k === 0) return;
      for (let s = 0; s < sides; s++) {
        const a = first + (k - 1) * sides + s, b = first + (k - 1) * sides + ((s + 1) % sides);
        mesh.faceArr.push(a, b, a + sides, b, b + sides, a + sides);
      }
    });
  };
  const ring = (centre, axis, radius, thickness, tint) => {
    const u = norm(cross(axis, Math.abs(axis[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0])), v = cross(axis, u);
    const at = (t) => u.map((x, c) => Math.cos(t) * x + Math.sin(t) * v[c]);
    for (let s = 0; s < 16; s++) {
      const [p, q] = [s, s + 1].map((n) => add(centre, radius, at((2 * Math.PI * n) / 16)));
      sweep([p, q], [thickness, thickness], norm(add(q, -1, p)), tint, 5);
    }
  };
  const arrow = (start, end, width, head, tint, ringed, hollow) => {
    const along = add(end, -1, start), length = Math.hypot(...along);
    if (length < 1e-6) return;
    const axis = norm(along), cone = Math.min(head, 0.45 * length), neck = add(end, -cone, axis);
    sweep([start, start, neck], [0, width, width], axis, tint, 8);
    sweep([neck, neck, end], [0, 0.38 * cone, 0], axis, hollow ? rgb("#FFFFFF") : tint, 12);
    if (ringed) {
      const radius = Math.min(2.6 * width + 0.1 * head, 0.25 * length);
      ring(add(start, 0.5, add(neck, -1, start)), axis, radius, 0.45 * width, tint);
      ring(neck, axis, 0.38 * cone, 0.35 * width, tint);
    }
  };
  const triple = (list, k) => list.slice(3 * k, 3 * k + 3);
  scene.edges.colours.forEach((index, k) => {
    const [start, end] = [triple(scene.edges.start, k), triple(scene.edges.end, k)];
    if (scene.edges.heads) arrow(start, end, scene.edges.width, 4 * scene.edges.width, rgb(colour(index)), false, false);
    else sweep([start, end], [scene.edges.width, scene.edges.width], norm(add(end, -1, start)), rgb(colour(index)), 6);
  });
  for (const set of scene.arrows) {
    for (let k = 0; 3 * k < set.start.length; k++) {
      const [start, end] = [triple(set.start, k), triple(set.end, k)];
      arrow(start, end, set.width, set.head, rgb(set.colour), set.ring, set.hollow);
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
