"""Charts as SVG, drawn by gnuplot, in colours that are legible on light and on dark paper."""
import re
import subprocess

COLOURS = ["#2f7fd6", "#e0762f", "#2ea069", "#b455c8", "#c79a1e", "#d64c5b", "#3aa5b5", "#8c7a6b"]
WIDTH = 480
count = 0


def gnuplot(script, height):
    """Runs a script with a terminal of this height. The SVG inherits the colour of text from where it is put."""
    global count
    head = 'set terminal svg size %d,%d font "sans-serif,14" noenhanced\nset border 3 lw 0.7\nset tics nomirror\n' % (WIDTH, height)
    done = subprocess.run(["gnuplot"], input=head + script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit("gnuplot: " + done.stderr.strip())
    svg = done.stdout[done.stdout.index("<svg"):]
    svg = re.sub(r' width="%d" height="%d"' % (WIDTH, height), "", svg, count=1)
    svg = re.sub(r'\s?color="[a-z]+"', "", svg)
    svg = re.sub(r"""(stroke|fill)=(["'])(black|rgb\(  ?0,  ?0,  ?0\))\2""", r"\1=\2currentColor\2", svg)
    svg = re.sub(r"<title>Gnuplot</title>\s*<desc>.*?</desc>", "", svg, flags=re.S)
    svg = re.sub(r"[ \t]*\n\s*", "\n", svg)
    # Marks that are defined and not used.
    svg = re.sub(r"<(?:path|use|circle)[^>]*\bid=(['\"])(gpPt\d+)\1[^>]*/>\n?",
                 lambda mark: mark.group() if "#%s'" % mark.group(2) in svg or '#%s"' % mark.group(2) in svg else "", svg)
    # Names of parts must not be those of the other charts of the page.
    count += 1
    svg = re.sub(r"""\bid=(["'])""", r"id=\1c%d-" % count, svg)
    svg = re.sub(r"""href=(["'])#""", r"href=\1#c%d-" % count, svg)
    return svg


def quoted(text):
    return '"%s"' % str(text).replace("\\", "/").replace('"', "'")


def number(x):
    """As short as it may be."""
    if x == 0:
        return "0"
    return "%.0f" % x if abs(x) >= 100 else "%.1f" % x if abs(x) >= 10 else "%.2f" % x


def bars(values, unit, lines=()):
    """Horizontal bars: (label, value, colour number). `lines`: where marks go across."""
    if not values:
        return ""
    most = max([v for _, v, _ in values] + list(lines)) or 1
    widest = max(len(label) for label, _, _ in values)
    height = 62 + 27 * len(values)
    script = ["set lmargin %d" % (widest * 1.02 + 1), "set rmargin 2", "set bmargin 3.2", "set tmargin 0.6",
              "set xrange [0:%g]" % (most * 1.17), "set yrange [%g:-0.7]" % (len(values) - 0.3), "set border 2",
              "set xtics autofreq scale 0", "set grid xtics lt 1 lc rgb '#888888' lw 0.3", "set xlabel %s" % quoted(unit),
              "set xtics %g" % tick(most * 1.17)]
    script.append("set ytics scale 0 (%s)" % ", ".join("%s %d" % (quoted(l), i) for i, (l, _, _) in enumerate(values)))
    for at in lines:
        script.append("set arrow from %g, graph 0 to %g, graph 1 nohead lt 1 dt 2 lw 1.2 lc rgb '#888888'" % (at, at))
    script.append("$d << EOD")
    script += ["%g %d %s %d" % (v, i, number(v), int(COLOURS[c % len(COLOURS)][1:], 16)) for i, (_, v, c) in enumerate(values)]
    script += ["EOD", "plot $d using ($1/2):2:($1/2):(0.36):4 with boxxyerror fs solid 1 noborder lc rgb variable notitle, \\",
               "     $d using 1:2:3 with labels left offset 0.4,0 notitle", ""]
    return gnuplot("\n".join(script), height)


def tick(most):
    """A round distance between four or five marks."""
    step = 10 ** len(str(int(most))) / 10 if most >= 1 else 0.1
    for s in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        if most / (s * step) <= 5:
            return s * step
    return most


def curves(series, xlabel, ylabel, logx=True, logy=False, top=None, few=False):
    """Lines with marks: (name, [(x, y)], colour number, dashed). `few`: not every x has a number, and y need not begin at 0."""
    series = [s for s in series if s[1]]
    if not series:
        return ""
    key = 19 * len(series)
    script = ["set key outside bottom center vertical maxrows %d Left reverse samplen 2.2" % len(series),
              "set xlabel %s offset 0,0.5" % quoted(xlabel),
              "set ylabel %s offset 1,0" % quoted(ylabel), "set rmargin 3", "set tmargin 0.8",
              "set grid lt 1 lc rgb '#888888' lw 0.3"]
    xs = sorted({x for _, points, _, _ in series for x, _ in points})
    if logx:
        script.append("set logscale x 2")
        script.append("set xrange [%g:%g]" % (xs[0] / 1.15, xs[-1] * 1.15))
        shown = xs if len(xs) <= 6 else xs[:: (len(xs) + 5) // 6]
        script.append("set xtics (%s)" % ", ".join("%s %g" % (quoted(size(x)), x) for x in shown))
    elif not few:
        script.append("set xtics (%s)" % ", ".join("%g" % x for x in xs))
        script.append("set xrange [%g:%g]" % (xs[0] - 0.3, xs[-1] + 0.3))
    script.append("set logscale y\nset format y '%g'" if logy else "" if few else "set yrange [0:%s]" % (top if top else "*"))
    for i, (_, points, _, _) in enumerate(series):
        script += ["$d%d << EOD" % i] + ["%g %g" % p for p in points] + ["EOD"]
    plots = ["$d%d using 1:2 with linespoints lw 2 %s lc rgb '%s' pt %d ps 0.7 title %s" %
             (i, "dt 2" if dashed else "dt 1", COLOURS[c % len(COLOURS)], (7, 5, 9, 11, 13)[c % 5], quoted(name))
             for i, (name, _, c, dashed) in enumerate(series)]
    return gnuplot("\n".join(script) + "\nplot " + ", \\\n ".join(plots) + "\n", 290 + key)


def size(x):
    """1024 is 1k, 2 MiB 2M, as far as that is exact."""
    for unit, name in ((2**20, "M"), (2**10, "k")):
        if x >= unit and x % unit == 0:
            return "%d%s" % (x // unit, name)
    return "%g" % x
