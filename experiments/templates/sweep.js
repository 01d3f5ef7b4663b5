"use strict";
// Without this script the page is whole: still pictures, the first heat map, all rows. It lets the reader choose.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const measure = Object.fromEntries(data.measures.map((m) => [m.column, m]));
  const colour = (role) => getComputedStyle(document.documentElement).getPropertyValue(`--ow-${role}`).trim();
  const known = (v) => v !== null && v !== undefined;

  // As the page writes numbers: significant digits, whole digits kept, thousands apart, a real minus sign.
  const number = (v, whole = false, digits = 4) => {
    if (!known(v)) return "–";
    if (whole) return v.toFixed(0).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
    if (v === 0) return "0";
    const [mantissa, exponent] = v.toExponential(digits - 1).split("e");
    const power = Number(exponent);
    const raised = (n) => [...String(n)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
    if (power <= -5 || power >= 7) return `${mantissa}\u00a0×\u00a010${raised(power)}`.replace("-", "−");
    const [integer, rest] = v.toFixed(Math.max(0, digits - 1 - power)).split(".");
    return (integer.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f") + (rest ? `.${rest}` : "")).replace("-", "−");
  };
  const withUnit = (column, v) => number(v, measure[column].whole) + (known(v) && measure[column].unit ? `\u00a0${measure[column].unit}` : "");
  const title = (m) => (m.unit ? `${m.label} (${m.unit})` : m.label);

  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const fill = (select, options, chosen) => {
    select.replaceChildren(...options.map(([value, text]) => element("option", text, { value })));
    select.value = String(chosen);
  };

  document.documentElement.classList.add("scripted");
  document.querySelectorAll(".live").forEach((part) => part.removeAttribute("hidden"));
  // Forms hold choices only; Enter must not load the page anew.
  document.querySelectorAll("form").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));

  // --- Pareto front ---------------------------------------------------------------------------------------------

  const done = data.status.map((status) => status === "done");

  const front = (x, y) => {
    const sign = (column) => (measure[column].up ? -1 : 1);
    const xs = data.results[x], ys = data.results[y];
    const at = xs.map((_, i) => i).filter((i) => done[i] && known(xs[i]) && known(ys[i]));
    const cost = (i) => [sign(x) * xs[i], sign(y) * ys[i]];
    at.sort((i, j) => cost(i)[0] - cost(j)[0] || cost(i)[1] - cost(j)[1] || i - j);
    const on = [];
    let best = Infinity, last = null;
    for (const i of at) {
      const [a, b] = cost(i);
      if (b < best) { on.push(i); best = b; last = a; }
      else if (b === best && a === last) on.push(i);
    }
    return { on: on.sort((i, j) => xs[i] - xs[j] || i - j), behind: at.filter((i) => !on.includes(i)) };
  };

  const named = (i) => data.varied.map((key) => `${key} = ${data.swept[key][i]}`);
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const accuracy = "accuracy_crossbar_mean";
  // A result of a point with its unit, the accuracy with its interval.
  const told = (i, column) => {
    const between = column === accuracy && known(data.low[i]) && data.low[i] < data.high[i]
      ? ` (${number(data.low[i])} to ${number(data.high[i])})` : "";
    return withUnit(column, data.results[column][i]) + between;
  };
  const described = (i, x, y) => {
    const shown = [...new Set([y, x, ...data.measures.filter((m) => m.main).map((m) => m.column)])];
    const lines = shown.map((c) => `${measure[c].label}: ${told(i, c)}`);
    return [`<b>${data.noun} ${data.point[i]}</b>`, ...[...named(i), ...lines].map(escaped)].join("<br>");
  };

  const scatter = (at, x, y, style) => ({
    type: "scatter", x: at.map((i) => data.results[x][i]), y: at.map((i) => data.results[y][i]),
    text: at.map((i) => described(i, x, y)), hovertemplate: "%{text}<extra></extra>", ...style,
  });

  const steps = (x) => (measure[x].up ? "vh" : "hv");

  const drawFront = () => {
    const x = byId("front-x").value, y = byId("front-y").value, by = byId("front-colour").value;
    const { on, behind } = front(x, y);
    const ink = colour("ink"), muted = colour("muted"), line = colour("line");
    const traces = [];
    const hues = ["blue", "red", "green", "purple", "cyan", "yellow"].map(colour);
    const shapes = ["circle", "square", "diamond", "triangle-up", "cross", "star"];
    const groups = by ? [...new Set(data.swept[by])].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)) : [null];
    const ranked = by && groups.length > 6 && groups.every((v) => typeof v === "number");
    if (by && !ranked) {
      groups.forEach((group, place) => {
        const mine = behind.filter((i) => data.swept[by][i] === group);
        traces.push(scatter(mine, x, y, { mode: "markers", name: `${by} = ${group}`,
          marker: { size: 7, opacity: 0.45, color: hues[place % 6], symbol: shapes[Math.floor(place / 6 + place) % 6] } }));
      });
    } else {
      traces.push(scatter(behind, x, y, { mode: "markers", name: "other points",
        marker: ranked
          ? { size: 7, opacity: 0.6, color: behind.map((i) => data.swept[by][i]), colorscale: "Cividis", showscale: true,
              colorbar: { title: { text: by }, thickness: 12, outlinewidth: 0, tickfont: { color: muted } } }
          : { size: 6, opacity: 0.45, color: colour("before") } }));
    }
    const bars = y === accuracy
      ? { type: "data", symmetric: false, thickness: 1, width: 3, color: colour("after"),
          array: on.map((i) => (known(data.high[i]) ? data.high[i] - data.results[y][i] : 0)),
          arrayminus: on.map((i) => (known(data.low[i]) ? data.results[y][i] - data.low[i] : 0)) }
      : undefined;
    traces.push(scatter(on, x, y, { mode: "lines+markers", name: "Pareto front", error_y: bars,
      line: { shape: steps(x), color: colour("after"), width: 1.5 },
      marker: { size: 10, color: colour("after"), line: { color: colour("surface"), width: 1 } } }));
    const narrow = window.innerWidth < 600;
    const axis = (m, log) => ({ title: { text: title(m), font: { color: muted }, standoff: 8 }, type: log ? "log" : "linear",
      gridcolor: line, linecolor: line, zeroline: false, tickfont: { color: muted }, automargin: true });
    Plotly.react("chart", traces, {
      xaxis: axis(measure[x], byId("front-log").checked), yaxis: axis(measure[y], false),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: getComputedStyle(byId("chart")).fontFamily, size: 12 },
      margin: { l: narrow ? 45 : 60, r: 12, t: 12, b: 50 }, hovermode: "closest", showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { color: ink } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: colour("after") },
      hoverlabel: { align: "left", bgcolor: colour("surface"), bordercolor: muted, font: { color: ink } },
    }, { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
    listFront(on, x, y);
  };

  const MAX_FRONT_ROWS = 60;

  const listFront = (on, x, y) => {
    const groups = new Map();
    for (const i of on) {
      const at = `${data.results[x][i]} ${data.results[y][i]}`;
      groups.set(at, [...(groups.get(at) || []), i]);
    }
    const heads = [data.noun, ...data.varied, measure[x].label, measure[y].label];
    const table = element("table");
    const caption = element("caption");
    caption.append(element("span", `Pareto front of ${measure[x].label} and ${measure[y].label}`));
    const head = element("tr");
    heads.forEach((name, place) => head.append(element("th", name, { scope: "col", ...(place ? {} : { class: "word" }) })));
    const body = element("tbody");
    for (const members of [...groups.values()].slice(0, MAX_FRONT_ROWS)) {
      const i = members[0], row = element("tr");
      const more = members.length > 1 ? ` and ${members.length - 1} more` : "";
      row.append(element("th", `${data.point[i]}${more}`, { scope: "row" }));
      data.varied.forEach((key) => row.append(element("td", String(data.swept[key][i]))));
      for (const column of [x, y]) row.append(element("td", told(i, column)));
      body.append(row);
    }
    const top = element("thead");
    top.append(head);
    table.append(caption, top, body);
    byId("front-table").querySelector(".scroll").replaceChildren(table);
    const cut = groups.size > MAX_FRONT_ROWS ? ` The first ${MAX_FRONT_ROWS} are listed.` : "";
    const way = (c) => `${measure[c].up ? "more" : "less"} ${measure[c].label}`;
    byId("front-note").textContent =
      `${on.length} of ${done.filter(Boolean).length} ${data.noun}s are on the front (better: ${way(x)}, ${way(y)}).${cut}`;
  };

  const startFront = () => {
    if (!byId("chart")) return;
    const options = data.measures.map((m) => [m.column, title(m)]);
    fill(byId("front-x"), options, data.axes[0]);
    fill(byId("front-y"), options, data.axes[1]);
    fill(byId("front-colour"), [["", "front only"], ...data.varied.map((key) => [key, key])], "");
    for (const id of ["front-x", "front-y", "front-colour", "front-log"]) byId(id).addEventListener("change", drawFront);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawFront);
    drawFront();
  };

  // --- heat map -------------------------------------------------------------------------------------------------

  const shade = (share, palette) => {
    const place = Math.min(Math.max(share, 0), 1) * (palette.length - 1);
    const low = Math.min(Math.floor(place), palette.length - 2);
    const mixed = palette[low].map((a, k) => Math.round(a + (palette[low + 1][k] - a) * (place - low)));
    const [r, g, b] = mixed.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return [`rgb(${mixed})`, 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff"];
  };

  const chosenMap = () => {
    const rows = byId("heat-rows").value, cols = byId("heat-cols").value;
    for (const pair of data.heat.pairs) {
      const [a, b] = [String(pair.rows), String(pair.cols)];
      if (a === rows && b === cols) return { pair, turned: false };
      if (b === rows && a === cols) return { pair, turned: true };
    }
    return null;
  };

  const transposed = (grid) => grid[0].map((_, place) => grid.map((row) => row[place]));

  const drawHeat = () => {
    const { pair, turned } = chosenMap();
    const result = byId("heat-result").value, how = byId("heat-how").value;
    const turn = (grid) => (turned ? transposed(grid) : grid);
    const values = turn(pair.values[result][how]), counts = turn(pair.values[result].n);
    const [rows, cols] = turned ? [pair.cols, pair.rows] : [pair.rows, pair.cols];
    const scale = (place) => (place === null ? { name: "", labels: [""] } : data.heat.scales[place]);
    const flat = values.flat().filter(known);
    const low = Math.min(...flat), high = Math.max(...flat);
    const table = element("table", undefined, { class: "heat" });
    const caption = element("caption"), many = [...new Set(counts.flat().filter((n) => n > 0))];
    const over = many.length === 1 && many[0] === 1 ? "one point a field"
      : `${how} over the other keys, ${many.length === 1 ? many[0] : `${Math.min(...many)} to ${Math.max(...many)}`} points a field`;
    caption.append(element("span", `${title(measure[result])}: ${over}`));
    const head = element("tr");
    head.append(element("th", `${scale(rows).name ? `${scale(rows).name} ↓ ` : ""}${scale(cols).name} →`, { scope: "col", class: "word" }));
    scale(cols).labels.forEach((label) => head.append(element("th", label, { scope: "col" })));
    const body = element("tbody");
    values.forEach((line, place) => {
      const row = element("tr");
      row.append(element("th", scale(rows).labels[place], { scope: "row" }));
      line.forEach((value, other) => {
        const cell = element("td", number(value, measure[result].whole), { title: `${counts[place][other]} points` });
        if (known(value)) [cell.style.background, cell.style.color] = shade(high > low ? (value - low) / (high - low) : 0.5, data.heat.palette);
        row.append(cell);
      });
      body.append(row);
    });
    const top = element("thead");
    top.append(head);
    table.append(caption, top, body);
    byId("heat-table").replaceChildren(table);
    const ends = byId("heat-ramp").querySelectorAll("span:not(.bar)");
    ends[0].textContent = flat.length ? withUnit(result, low) : "–";
    ends[1].textContent = flat.length ? withUnit(result, high) : "–";
  };

  const startHeat = () => {
    if (!data.heat || !byId("heat-result")) return;
    const keys = data.heat.scales.map((scale, place) => [place, scale.name]);
    const columns = Object.keys(data.heat.pairs[0].values);
    const single = keys.length === 1;
    fill(byId("heat-rows"), single ? [["null", "–"]] : keys, data.heat.rows);
    fill(byId("heat-cols"), keys, data.heat.cols);
    fill(byId("heat-result"), columns.map((c) => [c, title(measure[c])]), columns[0]);
    const before = { "heat-rows": byId("heat-rows").value, "heat-cols": byId("heat-cols").value };
    for (const [id, other] of [["heat-rows", "heat-cols"], ["heat-cols", "heat-rows"]]) {
      byId(id).addEventListener("change", () => {
        // Both the same: the other takes what this one was.
        if (byId(id).value === byId(other).value) byId(other).value = before[id];
        for (const name of Object.keys(before)) before[name] = byId(name).value;
        drawHeat();
      });
    }
    for (const id of ["heat-result", "heat-how"]) byId(id).addEventListener("change", drawHeat);
    drawHeat();
  };

  // --- table of points ------------------------------------------------------------------------------------------

  const startTable = () => {
    const table = byId("points-table"), body = table.tBodies[0];
    const names = [data.noun, ...data.keys, "status", ...data.listed];
    const values = [data.point, ...data.keys.map((key) => data.swept[key]), data.status, ...data.listed.map((column) => data.results[column])];
    const words = (row) => [...row.cells].map((cell) => cell.textContent.toLowerCase()).join("\n");
    const rows = [...body.rows].map((row, place) => ({ row, place, text: words(row) }));
    const heads = [...table.tHead.rows[0].cells];
    let sorted = { column: 0, up: true }, page = 0;

    const compare = (a, b) => {
      const [p, q] = [values[sorted.column][a.place], values[sorted.column][b.place]];
      // What is not known stands last, whichever way the column is sorted.
      if (!known(p) || !known(q)) return (known(p) ? -1 : 0) + (known(q) ? 1 : 0) || a.place - b.place;
      const order = typeof p === "number" && typeof q === "number" ? p - q : String(p).localeCompare(String(q), undefined, { numeric: true });
      return (sorted.up ? order : -order) || a.place - b.place;
    };

    const column = (name) => {
      const exact = names.findIndex((n) => n.toLowerCase() === name);
      if (exact >= 0) return exact;
      const near = names.map((n, place) => [n.toLowerCase(), place]).filter(([n]) => n.endsWith(`.${name}`) || n.startsWith(name));
      return near.length ? near[0][1] : -1;
    };

    const tests = { "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "!=": (a, b) => a !== b, "<": (a, b) => a < b, ">": (a, b) => a > b, "=": (a, b) => a === b };
    const term = (text) => {
      const found = text.match(/^(.+?)(<=|>=|!=|<|>|=)(.+)$/);
      const place = found ? column(found[1]) : -1;
      if (place < 0) return found ? null : (item) => item.text.includes(text);
      const wanted = Number(found[3]);
      return (item) => {
        const value = values[place][item.place];
        if (!known(value)) return false;
        return typeof value === "number" && !Number.isNaN(wanted) ? tests[found[2]](value, wanted) : tests[found[2]](String(value).toLowerCase(), found[3]);
      };
    };

    const show = () => {
      const written = byId("filter").value.toLowerCase().replace(/\s*(<=|>=|!=|<|>|=)\s*/g, "$1").split(/\s+/).filter(Boolean);
      const terms = written.map(term);
      const unknown = written.filter((_, place) => terms[place] === null);
      const kept = rows.filter((item) => terms.every((test) => test === null || test(item))).sort(compare);
      const size = byId("filter-rows").value === "all" ? Math.max(kept.length, 1) : Number(byId("filter-rows").value);
      const pages = Math.max(1, Math.ceil(kept.length / size));
      page = Math.min(page, pages - 1);
      const shown = kept.slice(page * size, (page + 1) * size);
      body.replaceChildren(...shown.map((item) => item.row));
      byId("page-back").disabled = page === 0;
      byId("page-on").disabled = page >= pages - 1;
      const range = pages > 1 ? `, ${page * size + 1} to ${page * size + shown.length} shown` : "";
      byId("filter-count").textContent = `${kept.length} of ${rows.length} ${data.noun}s${range}.` +
        (unknown.length ? ` No column is called as in ${unknown.join(" ")}.` : "");
    };

    heads.forEach((head, place) => {
      const button = element("button", undefined, { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", place ? "none" : "ascending");
      button.addEventListener("click", () => {
        sorted = { column: place, up: sorted.column === place ? !sorted.up : true };
        heads.forEach((h, other) => h.setAttribute("aria-sort", other !== place ? "none" : sorted.up ? "ascending" : "descending"));
        page = 0;
        show();
      });
    });
    byId("filter").addEventListener("input", () => { page = 0; show(); });
    byId("filter-rows").addEventListener("change", () => { page = 0; show(); });
    byId("page-back").addEventListener("click", () => { page -= 1; show(); });
    byId("page-on").addEventListener("click", () => { page += 1; show(); });
    show();
  };

  startTable();
  startHeat();
  startFront();
})();
