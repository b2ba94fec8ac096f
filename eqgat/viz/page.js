// Waits for 3Dmol.js, gives the box of a view its size, and says what is missing where nothing can be drawn.
function eqgatWait(view) {
  "use strict";
  const script = () => new Promise((resolve, reject) => {
    let tries = 0;
    const look = () => {
      if (window.$3Dmol) return resolve();
      if (++tries < 20) return setTimeout(look, 100); // the cell that holds the script may be drawn after this one
      const define = window.define; // a loader of modules would keep the script to itself
      const tag = document.createElement("script");
      window.define = undefined;
      tag.src = view.address;
      tag.onload = () => { window.define = define; resolve(); };
      tag.onerror = () => { window.define = define; reject(new Error("3Dmol.js")); };
      document.head.appendChild(tag);
    };
    look();
  });
  // py3Dmol waits for this promise, and loads nothing itself where it is there.
  if (!window.$3Dmolpromise) {
    window.$3Dmolpromise = script();
    window.$3Dmolpromise.catch(() => { delete window.$3Dmolpromise; });
  }
  (window.eqgatViews = window.eqgatViews || {})[view.id] = window.$3Dmolpromise;
  window.$3Dmolpromise.then(() => {
    const box = document.getElementById("3dmolviewer_" + view.id);
    box.style.cssText = `position:relative;width:min(100%, ${view.width}px);height:${view.height}px`;
  }).catch(() => {});
}

// Whether to smooth edges: not where the processor has to do the graphics card's work, which would take it three times
// as long.
function eqgatSmooth() {
  "use strict";
  if (window.eqgatSmoothed === undefined) {
    const gl = document.createElement("canvas").getContext("webgl");
    const about = gl && gl.getExtension("WEBGL_debug_renderer_info");
    const name = gl ? gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER) : "";
    window.eqgatSmoothed = !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
    const end = gl && gl.getExtension("WEBGL_lose_context");
    if (end) end.loseContext();
  }
  return window.eqgatSmoothed;
}

function eqgatDone(id) {
  "use strict";
  const missing = (reason) => {
    const box = document.getElementById("3dmolviewer_" + id);
    if (box) box.style.cssText = "display:none";
    document.getElementById("note_" + id).textContent =
      "The interactive 3D view is not drawn here: " + reason + " The still picture shows the same scene.";
  };
  window.eqgatViews[id].then(() => {
    const viewer = window["viewer_" + id];
    const canvas = document.getElementById("3dmolviewer_" + id).querySelector("canvas");
    if (viewer && canvas) document.getElementById("note_" + id).style.display = "none";
    else missing("this browser offers no WebGL, or the drawing failed (its console says more).");
  }, () => missing("3Dmol.js is not stored in this page, and the network did not bring it. " +
    "Fetch it with `python -m eqgat.viz.scripts`, and run the notebook again."));
}
