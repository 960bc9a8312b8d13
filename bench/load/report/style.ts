import { peerColours } from './peers.ts'

const LIGHT = `--paper:#fff;--panel:#f7f8fa;--ink:#16191d;--soft:#545c66;--rule:#d9dde3;--faint:#eceff3;--lost:#a8330c;--lost-paper:#fdf0ea;--won:#005f99;--link:#00558c;${peerColours('light')}`
const DARK = `--paper:#121519;--panel:#1a1e24;--ink:#eceff3;--soft:#a6afba;--rule:#343b45;--faint:#262c34;--lost:#ff9d73;--lost-paper:#2e1d16;--won:#6fc2f5;--link:#7cc4f8;${peerColours('dark')}`

/** One style sheet for screen and paper; nothing is loaded from anywhere. */
export const STYLE = `
:root{color-scheme:light dark;${LIGHT}}
@media (prefers-color-scheme:dark){:root{${DARK}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
main,header,footer{max-width:1200px;margin:0 auto;padding:0 20px}
header{padding-top:36px}
h1{font-size:2rem;line-height:1.2;margin:0 0 .35rem;letter-spacing:-.015em}
h2{font-size:1.4rem;line-height:1.3;margin:0 0 .5rem;letter-spacing:-.01em}
h3{font-size:1.05rem;margin:1.5rem 0 .4rem}
h4{font-size:.95rem;margin:1.1rem 0 .3rem}
p{margin:.3rem 0 .9rem;max-width:72ch}
a{color:var(--link);text-underline-offset:.15em}
section{padding:26px 0 10px;border-top:1px solid var(--rule);margin-top:26px}
.lead span{white-space:nowrap}
.lead{color:var(--soft);margin:0;max-width:none}
nav{margin-top:14px;display:flex;flex-wrap:wrap;gap:4px 16px;font-size:.92rem}
nav a{text-decoration:none}
nav a:hover{text-decoration:underline}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:14px;margin:1rem 0}
.tiles div{background:var(--panel);border-left:4px solid var(--soft);padding:10px 16px;border-radius:3px}
.tiles .won{border-color:var(--won)}.tiles .lost{border-color:var(--lost)}
.tiles dt{color:var(--soft);font-size:.92rem}
.tiles dd{margin:0;font-size:1.9rem;font-weight:650;line-height:1.2}
.tiles dd span{font-size:1rem;font-weight:400;color:var(--soft)}
#losses{background:var(--lost-paper);border:1px solid var(--lost);border-left-width:5px;border-radius:4px;padding:20px 22px 12px}
#losses h2{color:var(--lost)}
#losses .none{font-weight:600}
figure{margin:0 0 18px;background:var(--panel);border-radius:4px;padding:14px 14px 8px;min-width:0}
figcaption b{display:block;line-height:1.3}
figcaption span{display:block;color:var(--soft);font-size:.86rem;margin-bottom:8px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,348px),1fr));gap:16px;align-items:stretch}
.panels figure{margin:0}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),1fr));gap:16px}.plots figure{margin:0}
svg{display:block;max-width:100%;height:auto;font:13px/1 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}
svg.wide,svg.half{width:100%}
svg.narrow{display:none;max-width:520px}
.grid path{stroke:var(--rule);stroke-width:1;fill:none}
.grid text{fill:var(--soft);text-anchor:middle;font-size:12px}
.grid .tick-y{text-anchor:end}
.label{text-anchor:end}
.own .label,.own .value,.key.own{font-weight:700}
.whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.value{font-size:13px}
.note{font-size:12px;fill:var(--soft)}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.error{stroke-width:1.4;fill:none;opacity:.75}
.case{paint-order:stroke;stroke:var(--panel);stroke-width:3px;stroke-opacity:.7}
.losing{fill:var(--lost-paper)}
.side{fill:var(--soft);font-size:12px}
.even{stroke:var(--ink);stroke-width:1.5}
.goal{stroke:var(--ink);stroke-width:2;opacity:.55}
.won .range{stroke:var(--won);stroke-width:2.4;fill:none}.won circle{fill:var(--won)}
.lost .range{stroke:var(--lost);stroke-width:2.4;fill:none}.lost circle{fill:var(--paper);stroke:var(--lost);stroke-width:2.6}
.lost .value{fill:var(--lost);font-weight:700}
.open text{fill:var(--soft)}
svg a text{fill:inherit}svg a:hover text,svg a:focus text{text-decoration:underline}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;line-height:1.4}
th,td{padding:5px 12px 5px 0;text-align:right;vertical-align:top;border-bottom:1px solid var(--rule)}
th:first-child,.text{text-align:left}
td.text{min-width:9rem}
thead th{color:var(--soft);font-weight:600;white-space:nowrap}
tbody th{font-weight:500;min-width:8rem}
#setup td,#setup th{text-align:left}
.seen{color:var(--soft);overflow-wrap:anywhere;max-width:46rem}
.failed th,.failed td{color:var(--lost)}
.scroll{overflow-x:auto}
details>summary{cursor:pointer}
details.data{margin-top:6px;font-size:.92rem}
details.data>summary{color:var(--soft)}
details.data[open]>summary{margin-bottom:6px}
details.case{background:var(--panel);border-radius:4px;padding:9px 14px;margin-bottom:8px}
details.case>summary b{font-weight:600;margin-right:10px}
.badge{display:inline-block;font-size:.82rem;color:var(--soft);border:1px solid var(--rule);border-radius:9px;padding:0 9px;margin-right:6px;white-space:nowrap}
.badge:empty{display:none}
.badge.lost{color:var(--lost);border-color:var(--lost)}
pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{background:var(--faint);border-radius:3px;padding:10px 12px;overflow-x:auto;margin:.3rem 0 .8rem;max-height:34rem}
.notes{color:var(--soft)}
ul{padding-left:1.3rem}
footer{color:var(--soft);font-size:.88rem;padding-top:24px;padding-bottom:40px}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media (max-width:700px){body{font-size:15px}main,header,footer{padding-left:12px;padding-right:12px}h1{font-size:1.55rem}svg.wide,svg.half{display:none}svg.narrow{display:block;width:100%}figure{padding:12px 10px 6px}#losses{padding:14px 14px 8px}th,td{padding-right:10px}}
@media print{:root{${LIGHT}}body{font-size:10.5pt}main,header,footer{max-width:none;padding:0}nav,figure details.data{display:none}section>p{break-after:avoid}.plots,.panels{grid-template-columns:1fr 1fr}table{font-size:8.5pt}figure,details.case,.tiles div{break-inside:avoid;background:none;border:1px solid var(--rule)}section{break-inside:auto}h2,h3{break-after:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.scroll,pre{overflow:visible}pre{white-space:pre-wrap;max-height:none}a{color:inherit;text-decoration:none}}
`
