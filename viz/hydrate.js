(function () {
  var id = "@ID@", lib = @LIB@, tries = 0;
  function load(packed) {
    var raw = Uint8Array.from(atob(packed), function (c) { return c.charCodeAt(0); });
    var stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text().then(function (src) {
      var had = Object.prototype.hasOwnProperty.call(globalThis, "echarts"), old = globalThis.echarts;
      new Function("exports", "module", "define", "require", src).call(globalThis);
      var ec = globalThis.echarts;
      if (had) { globalThis.echarts = old; } else { delete globalThis.echarts; }
      return ec;
    });
  }
  function draw(ec) {
    var el = document.getElementById(id);
    if (!el) { if (++tries < 100) { setTimeout(function () { draw(ec); }, 50); } return; }
    if (el.getAttribute("data-live")) { return; }
    var box = document.createElement("div");
    box.style.width = "100%"; box.style.height = "100%";
    var chart, img = el.firstChild;
    el.appendChild(box);
    try {
      if (img) { img.style.display = "none"; }
      chart = ec.init(box, null, { renderer: "svg" });
      chart.setOption(@OPTION@);
      el.setAttribute("data-live", "1");
    } catch (e) {
      box.remove();
      if (img) { img.style.display = ""; }
      console.error("godwit chart", e);
      return;
    }
    if (globalThis.ResizeObserver) { new ResizeObserver(function () { chart.resize(); }).observe(el); }
  }
  function ready(p) { p.then(draw).catch(function (e) { console.error("godwit chart library", e); }); }
  try {
    if (lib && !globalThis.__godwit_echarts) { globalThis.__godwit_echarts = load(lib); }
  } catch (e) { console.error("godwit chart library", e); }
  if (globalThis.__godwit_echarts) { ready(globalThis.__godwit_echarts); return; }
  var waited = 0, timer = setInterval(function () {
    if (globalThis.__godwit_echarts) { clearInterval(timer); ready(globalThis.__godwit_echarts); }
    else if (++waited > 50) { clearInterval(timer); }
  }, 200);
})();
