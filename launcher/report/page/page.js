/* Draws every chart of the page from its JSON, in the page's own colours; sorts tables; switches between light and dark. */
"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("chart-specs").textContent);
  const root = document.documentElement;
  const charts = new Map();
  let palette = {};

  const COLORS = ["ground", "paper", "ink", "soft", "line", "grid", "idle", "lost", "from", "mid", "to", "good", "bad",
    "c0", "c1", "c2", "c3", "c4", "c5"];

  /* A custom property may hold light-dark(); only a real property of an element resolves it. */
  function readPalette() {
    const probe = document.body.appendChild(document.createElement("span"));
    const found = {};
    for (const name of COLORS) {
      probe.style.color = `var(--${name})`;
      found[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    return found;
  }

  const series = (index) => palette[`c${index % 6}`];
  const narrow = () => root.clientWidth < 760;
  const SMALLEST = 200; // pixels; a narrower window is being created or hidden, and shows no chart

  function say(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value);
    if (Number.isInteger(value) || size >= 1e4) return Math.round(value).toLocaleString("en");
    return size !== 0 && size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  }

  /* On an axis, short. */
  function tick(value) {
    const size = Math.abs(value);
    if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
    if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
    return size !== 0 && size < 1e-3 ? Number(value.toPrecision(3)).toExponential() : String(Number(value.toPrecision(4)));
  }

  /* Seconds between the marks of a clock that shows so many: as a clock has them. */
  function clockStep(seconds) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
    const most = narrow() ? 4 : 9;
    return steps.find((step) => seconds / step <= most) || 86400 * Math.ceil(seconds / 86400 / most);
  }

  function time(seconds) {
    if (seconds >= 7200) return `${Number((seconds / 3600).toFixed(1))} h`;
    if (seconds >= 120) return `${Number((seconds / 60).toFixed(1))} min`;
    return `${Number(seconds.toFixed(1))} s`;
  }

  /* Tooltips are made of nodes and texts, so that no name in them can be markup. */
  function tip(title, rows) {
    const box = document.createElement("div");
    box.className = "tip";
    const head = box.appendChild(document.createElement("b"));
    head.textContent = title;
    for (const [color, text] of rows) {
      const line = box.appendChild(document.createElement("div"));
      if (color) line.appendChild(document.createElement("i")).style.background = color;
      line.append(text);
    }
    return box;
  }

  function base() {
    const text = { color: palette.soft, fontSize: 12 };
    return {
      animation: false,
      textStyle: { color: palette.soft, fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: 18, top: 40, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      legend: { top: 0, left: 0, type: "scroll", icon: "roundRect", itemWidth: 14, itemHeight: 4, textStyle: text,
        inactiveColor: palette.idle, pageTextStyle: text, pageIconColor: palette.soft },
      tooltip: { confine: true, backgroundColor: palette.paper, borderColor: palette.line, textStyle: { color: palette.ink, fontSize: 13 } },
    };
  }

  function axis(more) {
    return {
      nameTextStyle: { color: palette.soft, fontSize: 12 },
      axisLabel: { color: palette.soft, fontSize: 12, hideOverlap: true },
      axisLine: { lineStyle: { color: palette.line } }, axisTick: { show: false },
      splitLine: { lineStyle: { color: palette.grid } }, ...more,
    };
  }

  function valueAxis(spec, more) {
    return axis({ type: "value", scale: true, axisLabel: { ...axis({}).axisLabel, formatter: tick }, ...more });
  }

  /* Lines that the legend of a `parts` chart takes: its names, each with a mark and a gap, over the width that there is. */
  function legendLines(spec, place) {
    const width = spec.parts.reduce((sum, part) => sum + 34 + 7.2 * part.name.length, 0);
    return Math.ceil(width / (0.9 * place.clientWidth));
  }

  const draw = {
    lines(spec) {
      const option = base();
      const many = spec.series.length > 8;
      const named = spec.series.length > 1 && !many;
      const marks = (spec.marks || []).map((mark) => ({ xAxis: mark.x, name: mark.label }));
      return { ...option,
        legend: { ...option.legend, show: named, data: spec.series.map((one) => ({ name: one.name, itemStyle: { opacity: one.faint ? 0.4 : 1 } })) },
        grid: { ...option.grid, top: named ? 62 : 30, bottom: 26 },
        tooltip: { ...option.tooltip, trigger: many ? "item" : "axis", axisPointer: { type: "line", lineStyle: { color: palette.idle } },
          formatter(found) {
            const list = Array.isArray(found) ? found : [found];
            return tip(`${spec.x} ${say(list[0].value[0])}`, list.map((one) => [one.color, `${one.seriesName}  ${say(one.value[1])}`]));
          } },
        xAxis: valueAxis(spec, { name: spec.x, nameLocation: "middle", nameGap: 26, splitLine: { show: false }, min: "dataMin", max: "dataMax" }),
        yAxis: valueAxis(spec, { name: spec.y, nameLocation: "end", nameTextStyle: { color: palette.soft, fontSize: 12, align: "left" },
          scale: !spec.zero, type: spec.log ? "log" : "value", axisLine: { show: false } }),
        series: spec.series.map((one, index) => {
          const color = one.shade === undefined ? series(one.color) : shade(one.shade);
          return { name: one.name, type: "line", data: one.points, showSymbol: Boolean(one.dots || one.bare) || one.points.length < 2, step: one.stairs ? "end" : false,
            symbol: "circle", symbolSize: 6, color, sampling: undefined, z: one.strong ? 5 : one.faint ? 1 : 3,
            lineStyle: { width: one.bare ? 0 : one.strong ? 3.2 : one.faint ? 1 : many ? 1.3 : 2.2, opacity: one.faint ? 0.32 : many && !one.strong ? 0.55 : 1 },
            emphasis: { focus: many ? "series" : "none" }, triggerLineEvent: many,
            markLine: index || !marks.length ? undefined : { silent: true, symbol: "none", data: marks,
              lineStyle: { color: palette.idle, type: "dashed", width: 1 },
              label: { show: marks.length <= 12, formatter: (mark) => mark.name, color: palette.soft, fontSize: 11, position: "insideEndTop", rotate: 90, offset: [0, 4] } } };
        }) };
    },

    parts(spec, place) {
      const option = base();
      const lines = legendLines(spec, place);
      return { ...option,
        legend: { ...option.legend, type: "plain" },
        grid: { ...option.grid, top: 14 + 22 * lines, right: 34, bottom: 26 },
        tooltip: { ...option.tooltip, trigger: "axis", axisPointer: { type: "none" },
          formatter: (list) => tip(list[0].name, list.filter((one) => typeof one.value === "number").map((one) => [one.color, `${one.seriesName}  ${say(one.value)} ${spec.unit}`])) },
        xAxis: valueAxis(spec, { scale: false, name: spec.unit, nameLocation: "middle", nameGap: 26,
          max: spec.limit ? (value) => Math.max(value.max, spec.limit) : undefined }),
        yAxis: axis({ type: "category", data: spec.rows, inverse: true, splitLine: { show: false } }),
        series: spec.parts.map((part, index) => ({ name: part.name, type: "bar", stack: "all", data: part.values.map((value) => value ?? "-"), barMaxWidth: 34,
          color: part.name.startsWith("measured") ? (part.name.includes("outside") ? palette.idle : palette.c2) : [palette.c0, palette.c3, palette.c4, palette.c1, palette.c5, palette.from, palette.idle][index % 7],
          itemStyle: { borderColor: palette.paper, borderWidth: 1 },
          markLine: index || !spec.limit ? undefined : { silent: true, symbol: "none", data: [{ xAxis: spec.limit }],
            lineStyle: { color: palette.bad }, label: { color: palette.soft, formatter: `a GPU has ${say(spec.limit)}` } } })) };
    },

    bars(spec) {
      const option = base();
      const names = axis({ type: "category", data: spec.rows, inverse: !spec.upright, splitLine: { show: false },
        name: spec.upright ? spec.name : undefined, nameLocation: "middle", nameGap: 28,
        axisLabel: { color: palette.soft, fontSize: 12, hideOverlap: true, width: spec.upright ? undefined : narrow() ? 120 : 260, overflow: "truncate" } });
      const numbers = valueAxis(spec, { scale: false, name: spec.unit, nameLocation: spec.upright ? "end" : "middle", nameGap: spec.upright ? 12 : 26,
        nameTextStyle: { color: palette.soft, fontSize: 12, align: spec.upright ? "left" : "center" } });
      return { ...option, legend: { show: false },
        grid: { ...option.grid, top: spec.upright ? 30 : 8, bottom: 28, right: 40 },
        tooltip: { ...option.tooltip, trigger: "item", formatter: (one) => tip(one.name, [[one.color, `${say(one.value)} ${spec.unit}`]]) },
        xAxis: spec.upright ? names : numbers, yAxis: spec.upright ? numbers : names,
        series: [{ type: "bar", data: spec.values, color: palette.c0, barMaxWidth: 40, itemStyle: { borderRadius: 3 },
          label: { show: true, position: spec.upright ? "top" : "right", color: palette.soft, fontSize: 12, formatter: (one) => say(one.value) } }] };
    },

    timeline(spec) {
      const option = base();
      const colors = { "start-up": palette.idle, training: palette.c2, evaluation: palette.c0, "sample answer": palette.c3,
        export: palette.c5, lost: palette.lost };
      const kinds = Object.keys(colors).filter((kind) => spec.spans.some((span) => span.kind === kind));
      const box = (params, api) => {
        const [row, from, to] = [api.value(0), api.value(1), api.value(2)];
        const start = api.coord([from, row]);
        const height = Math.min(26, api.size([0, 1])[1] * 0.62);
        const width = Math.max(1.5, api.coord([to, row])[0] - start[0]);
        return { type: "rect", shape: { x: start[0], y: start[1] - height / 2, width, height, r: Math.min(3, width / 3) }, style: { fill: api.visual("color") } };
      };
      const line = (params, api) => {
        const [x, y] = api.coord([api.value(1), api.value(0)]);
        const height = Math.min(26, api.size([0, 1])[1] * 0.62);
        return { type: "rect", shape: { x: x - 1, y: y - height / 2 - 3, width: 2, height: height + 6 }, style: { fill: palette.ink } };
      };
      const groups = kinds.map((kind) => ({ name: kind, type: "custom", renderItem: box, color: colors[kind], encode: { x: [1, 2], y: 0 },
        data: spec.spans.filter((span) => span.kind === kind).map((span) => ({ value: [span.row, span.from, span.to], text: span.text })) }));
      if (spec.ticks.length) {
        groups.push({ name: "checkpoint", type: "custom", renderItem: line, color: palette.ink, encode: { x: 1, y: 0 }, z: 4,
          data: spec.ticks.map((one) => ({ value: [one.row, one.at], text: one.text })) });
      }
      return { ...option,
        grid: { ...option.grid, top: 34, bottom: 26, right: 24 },
        tooltip: { ...option.tooltip, trigger: "item", formatter: (one) => tip(spec.rows[one.value[0]], [[one.color, one.data.text]]) },
        xAxis: axis({ type: "value", min: 0, max: "dataMax", interval: clockStep(Math.max(...spec.spans.map((span) => span.to), 0.1)), name: "time since the first start", nameLocation: "middle", nameGap: 26,
          axisLabel: { color: palette.soft, fontSize: 12, formatter: time, hideOverlap: true, showMaxLabel: false } }),
        yAxis: axis({ type: "category", data: spec.rows, inverse: true, splitLine: { show: false }, axisLine: { show: false } }),
        series: groups };
    },

    parallel(spec) {
      const option = base();
      const small = narrow();
      return { ...option, legend: { show: false },
        parallel: small
          ? { layout: "vertical", left: 18, right: 26, top: 40, bottom: 30 }
          : { left: 90, right: 90, top: 46, bottom: 26 },
        parallelAxis: spec.axes.map((one, index) => ({ dim: index, name: one.name, type: one.type, data: one.categories, scale: true,
          nameLocation: small ? "start" : "end", nameGap: small ? 4 : 16, inverse: Boolean(one.inverse),
          nameTextStyle: { color: palette.ink, fontSize: 12, fontWeight: 600, align: small ? "left" : "center", verticalAlign: small ? "bottom" : undefined,
            padding: small ? [0, 0, 9, 0] : 0, width: small ? 260 : 170, overflow: "truncate", textBorderColor: palette.paper, textBorderWidth: 4 },
          axisLine: { lineStyle: { color: palette.idle } }, axisTick: { show: false },
          axisLabel: { color: palette.ink, fontSize: 12, hideOverlap: true, textBorderColor: palette.paper, textBorderWidth: 4, formatter: one.type === "value" || one.type === "log" ? tick : undefined },
          areaSelectStyle: { color: palette.c0, borderColor: palette.c0, opacity: 0.2 } })),
        tooltip: { ...option.tooltip, trigger: "item", formatter: (one) => tip(one.name, spec.axes.map((at, index) => [null, `${at.name}  ${say(one.data.value[index])}`])) },
        series: [{ type: "parallel", smooth: 0, inactiveOpacity: 0.06, activeOpacity: 0.9,
          data: spec.rows.map((row) => ({ name: row.name, value: row.values,
            lineStyle: { color: row.best ? palette.ink : shade(row.shade), width: row.best ? 3.4 : 1.8, opacity: row.best ? 1 : 0.7 } })) }] };
    },
  };

  /* From the best trial's colour to the worst's. */
  function shade(share) {
    if (share === null) return palette.idle;
    const ends = share < 0.5 ? [palette.from, palette.mid] : [palette.mid, palette.to];
    const [from, to] = ends.map((color) => color.match(/[\d.]+/g).slice(0, 3).map(Number));
    const part = share < 0.5 ? share * 2 : share * 2 - 1;
    return `rgb(${from.map((one, at) => Math.round(one + (to[at] - one) * part)).join(",")})`;
  }

  function drawAll() {
    palette = readPalette();
    for (const [id, spec] of Object.entries(specs)) {
      const place = document.getElementById(`chart-${id}`);
      if (spec.kind === "timeline") place.style.height = `${110 + 34 * spec.rows.length}px`;
      if (spec.kind === "parts") place.style.height = `${90 + 22 * legendLines(spec, place) + 38 * spec.rows.length}px`;
      if (spec.kind === "bars" && !spec.upright) place.style.height = `${70 + 34 * spec.rows.length}px`;
      if (spec.kind === "parallel") place.style.height = `${narrow() ? 70 + 92 * spec.axes.length : 420}px`;
      let chart = charts.get(id);
      if (!chart) {
        chart = echarts.init(place, null, { renderer: "svg" });
        charts.set(id, chart);
      }
      chart.resize();
      chart.setOption(draw[spec.kind](spec, place), true);
    }
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
      };
      const compare = (one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
        return down ? -order : order;
      };
      [...body.rows].sort(compare).forEach((row) => body.append(row));
    }));
  }

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;

  function show(scheme) {
    root.style.colorScheme = scheme || "";
    drawAll();
  }

  document.getElementById("scheme").addEventListener("click", () => {
    const now = chosen || (dark.matches ? "dark" : "light");
    chosen = now === "dark" ? "light" : "dark";
    show(chosen);
  });
  dark.addEventListener("change", () => show(chosen));
  window.addEventListener("beforeprint", () => show("light"));
  window.addEventListener("afterprint", () => show(chosen));
  let width = root.clientWidth, waiting = 0;
  window.addEventListener("resize", () => {
    if (root.clientWidth === width || root.clientWidth < SMALLEST) return;
    width = root.clientWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAll);
  });
  document.querySelectorAll("table.sortable").forEach(sortable);
  drawAll();
})();
