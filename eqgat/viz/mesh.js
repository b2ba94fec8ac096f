// Tubes, arrows and rings as a few meshes: one object is drawn much faster than thousands. All lengths are in Å.
// `eqgatMesh()` collects them; `into(viewer)` draws them and returns the shapes, so that they can be removed again.
function eqgatMesh() {
  "use strict";
  // 3Dmol splits a mesh of 64,000 corners or more, but not its colours, so a new one is begun before.
  const MOST = 60000;
  const empty = () => ({ vertexArr: [], normalArr: [], faceArr: [], color: [] });
  const meshes = [empty()];
  let mesh = meshes[0];
  const begin = () => { if (mesh.vertexArr.length > MOST) meshes.push(mesh = empty()); return mesh.vertexArr.length; };
  const add = (a, s, b) => [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const length = (a) => Math.hypot(a[0], a[1], a[2]);
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
  const corner = (centre, radius, out, tint, normal = out) => {
    const [x, y, z] = add(centre, radius, out);
    mesh.vertexArr.push({ x, y, z });
    mesh.normalArr.push({ x: normal[0], y: normal[1], z: normal[2] });
    mesh.color.push(tint);
  };
  // Faces between two circles of `sides` corners that begin at `a` and `b`.
  const band = (a, b, sides) => {
    for (let s = 0; s < sides; s++) {
      const t = (s + 1) % sides;
      mesh.faceArr.push(a + s, a + t, b + s, a + t, b + t, b + s);
    }
  };
  // A surface along `points` with one radius at each, `sides` corners round `axis`; each piece has normals of its own,
  // so that the flat back of a head is not lit like its side.
  const sweep = (points, radii, axis, tint, sides) => {
    const [u, v] = frame(axis);
    for (let k = 1; k < points.length; k++) {
      const slope = radii[k - 1] - radii[k], first = begin();
      const rise = length(add(points[k], -1, points[k - 1])), steep = Math.hypot(slope, rise) || 1;
      for (const end of [k - 1, k]) {
        for (const [c, s] of circle(sides)) {
          const out = add(add([0, 0, 0], c, u), s, v);
          corner(points[end], radii[end], out, tint, add(add([0, 0, 0], rise / steep, out), slope / steep, axis));
        }
      }
      band(first, first + sides, sides);
    }
  };
  const ring = (centre, axis, radius, thickness, tint) => {
    const [u, v] = frame(axis), around = 14, sides = 4, first = begin();
    circle(around).forEach(([c, s], k) => {
      const outward = add(add([0, 0, 0], c, u), s, v), middle = add(centre, radius, outward);
      for (const [x, y] of circle(sides)) corner(middle, thickness, add(add([0, 0, 0], x, outward), -y, axis), tint);
      band(first + k * sides, first + ((k + 1) % around) * sides, sides);
    });
  };
  return {
    tube(start, end, width, colour, sides) {
      sweep([start, end], [width, width], norm(add(end, -1, start)), rgb(colour), sides);
    },
    // `look`: colour, width, head (the length of the head), hollow (a white head), ring (about shaft and head).
    arrow(start, end, look) {
      const along = add(end, -1, start), size = length(along), tint = rgb(look.colour), width = look.width;
      if (size < 1e-6) return;
      const axis = norm(along), cone = Math.min(look.head, 0.45 * size), neck = add(end, -cone, axis);
      sweep([start, start, neck], [0, width, width], axis, tint, 8);
      sweep([neck, neck, end], [0, 0.38 * cone, 0], axis, look.hollow ? rgb("#FFFFFF") : tint, 12);
      if (look.ring) {
        ring(add(start, 0.5, add(neck, -1, start)), axis, Math.min(2.6 * width + 0.1 * look.head, 0.25 * size),
          0.45 * width, tint);
        ring(neck, axis, 0.38 * cone, 0.35 * width, tint);
      }
    },
    into: (viewer) => meshes.filter((one) => one.vertexArr.length).map((one) => viewer.addCustom(one)),
  };
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
