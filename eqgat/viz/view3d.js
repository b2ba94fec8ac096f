// Draws every view of the page that is not drawn yet, each in its own box and from its own data: views have no names
// that two notebooks, or two copies of one output, could share. `address` is where 3Dmol.js is asked for if the page
// does not hold it.
function eqgatViews(address) {
  "use strict";
  const library = () => new Promise((resolve, reject) => {
    let tries = 0;
    const look = () => {
      if (window.$3Dmol) return resolve();
      if (++tries < 20) return setTimeout(look, 100); // the cell that holds the script may be drawn after this one
      const define = window.define; // a loader of modules would keep the script to itself
      const tag = document.createElement("script");
      window.define = undefined;
      tag.src = address;
      tag.onload = () => { window.define = define; resolve(); };
      tag.onerror = () => { window.define = define; reject(new Error("3Dmol.js")); };
      document.head.appendChild(tag);
    };
    look();
  });
  if (!window.eqgat3Dmol) {
    window.eqgat3Dmol = library();
    window.eqgat3Dmol.catch(() => { delete window.eqgat3Dmol; }); // the next view may try again
  }
  for (const view of document.querySelectorAll(".eqgat-view:not([data-begun])")) {
    view.dataset.begun = "yes";
    const [note, box] = [".eqgat-note", ".eqgat-box"].map((name) => view.querySelector(name));
    const scene = JSON.parse(view.querySelector("script[type='application/json']").textContent);
    const missing = (reason) => {
      box.style.cssText = "display:none";
      note.textContent = "The interactive 3D view is not drawn here: " + reason + " The still picture shows the same scene.";
    };
    window.eqgat3Dmol.then(() => {
      box.style.cssText = `position:relative;width:min(100%, ${scene.width}px);height:${scene.height}px`;
      try {
        box.viewer = eqgatDraw(box, scene);
        note.style.display = "none";
      } catch (error) {
        console.error(error);
        missing("this browser offers no WebGL, or the drawing failed (its console says more).");
      }
    }, () => missing("3Dmol.js is not stored in this page, and the network did not bring it. " +
      "Fetch it with `python -m eqgat.viz.scripts`, and run the notebook again."));
  }
}

// Draws one scene with 3Dmol.js into a box and returns the viewer. `scene` is the object that view3d.py writes.
function eqgatDraw(box, scene) {
  "use strict";
  const viewer = $3Dmol.createViewer(box, { backgroundColor: "white", antialias: eqgatSmooth(), disableFog: scene.fogless });
  if (!viewer || !box.querySelector("canvas")) throw new Error("3Dmol.js made no viewer");
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
  const triple = (list, k) => [list[3 * k], list[3 * k + 1], list[3 * k + 2]];
  const mesh = eqgatMesh(), { width, heads } = scene.edges;
  const sides = scene.edges.colours.length > 500 ? 4 : 6;
  scene.edges.colours.forEach((index, k) => {
    const start = triple(scene.edges.start, k), end = triple(scene.edges.end, k);
    if (heads) mesh.arrow(start, end, { colour: colour(index), width, head: 4 * width });
    else mesh.tube(start, end, width, colour(index), sides);
  });
  for (const set of scene.arrows) {
    for (let k = 0; 3 * k < set.start.length; k++) mesh.arrow(triple(set.start, k), triple(set.end, k), set);
  }
  mesh.into(viewer);
  for (const [text, x, y, z, right, up] of scene.labels) {
    viewer.addLabel(text, {
      position: { x, y, z }, fontSize: 14, fontColor: "black", backgroundColor: "white", backgroundOpacity: 0.75,
      inFront: true, alignment: "center",
      screenOffset: { x: right * (14 + 4.2 * text.length), y: up * 22 }, // beside its atom, and away from other labels
    });
  }
  viewer.zoomTo({ model }); // the atoms: 3Dmol's box around a mesh also holds the origin, however far away
  viewer.zoom(scene.zoom * Math.min(1, box.clientWidth / scene.width)); // a narrow screen shows the whole width, too
  const look = viewer.getView();
  scene.quaternion.forEach((q, k) => { look[4 + k] = q; });
  viewer.setView(look);
  viewer.render();
  return viewer;
}
