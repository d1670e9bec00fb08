//! The console's style rules. Must never use red or yellow for anything but HALT and the line of a cap.

/// Everything but the panel's own rules, which come with the panel.
pub(crate) const STYLE: &str = "\
:root{--ink:#111;--soft:#4a4a4a;--line:#c4c7cc;--back:#fff;--field:#f1f3f6;--blue:#0b4f9f;--chart:#0a73b7;\
--warn:#7a3b00;\
--warnback:#fff1d0;--halt:#b3001b}\
*{box-sizing:border-box}\
html{font:16px/1.4 system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;color:var(--ink);\
background:var(--back)}\
body{margin:0}\
a{color:var(--blue)}\
h1{font-size:1.5rem;line-height:1.2;margin:0 0 8px;overflow-wrap:anywhere}\
h2{font-size:1.1rem;margin:20px 0 8px}\
p{margin:0 0 10px}\
:focus-visible{outline:4px solid var(--chart);outline-offset:2px}\
header{display:flex;gap:16px;padding:8px 16px;border-bottom:1px solid var(--line);align-items:stretch}\
.strip{flex:1;display:flex;flex-wrap:wrap;align-items:center;gap:2px 12px;padding:6px 12px;border:4px solid;\
border-radius:8px;\
min-height:60px;font-size:.92rem}\
.strip svg{width:28px;height:28px;fill:currentColor;stroke:currentColor;stroke-width:0;flex:none}\
.strip.f-dry strong,.strip.f-dry svg{color:var(--blue)}\
.strip strong{font-size:1.5rem}.strip small{margin-left:auto;font-size:.88rem}\
.grid{display:flex;align-items:stretch;min-height:calc(100vh - 80px)}\
nav{flex:none;width:228px;border-right:1px solid var(--line);padding:12px 8px}\
nav a{display:flex;justify-content:space-between;align-items:center;gap:8px;min-height:40px;padding:6px 10px;\
color:inherit;text-decoration:none;border-left:4px solid transparent;border-radius:8px;white-space:nowrap}\
nav a[aria-current]{font-weight:700;background:var(--field);border-left-color:var(--blue)}\
nav .n{border:1.5px solid;border-radius:14px;padding:1px 9px;font-size:.85rem;font-weight:700}\
main{flex:1;min-width:0;padding:16px 22px 40px}\
.sub{color:var(--soft)}.small{font-size:.9rem}\
table{border-collapse:collapse;width:100%;font-size:.92rem;margin:0 0 14px}\
th{text-align:left;color:var(--soft);font-size:.85rem;padding:6px 10px 8px 0;\
border-bottom:2px solid var(--line);\
vertical-align:bottom}\
td{padding:9px 10px 9px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}\
td.num,th.num{text-align:right;padding-right:18px}\
td.num{white-space:nowrap}\
.nw{white-space:nowrap}td select{width:auto}\
td.nb{white-space:nowrap}table.r td{min-width:6.2em}\
caption{text-align:left;color:var(--soft);font-size:.9rem}\
code,.mono{font:.84rem ui-monospace,'DejaVu Sans Mono',monospace;overflow-wrap:anywhere}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--field);padding:12px;border-radius:6px;\
font:.82rem/1.45 ui-monospace,'DejaVu Sans Mono',monospace}\
.b{display:inline-block;border:1.5px solid;border-radius:5px;padding:1px 7px;font-size:.82rem;\
font-weight:700;white-space:nowrap}\
.b.on{background:var(--blue);border-color:var(--blue);color:#fff}\
.b.w{background:var(--warnback);color:var(--warn)}\
button,.bt{display:inline-flex;align-items:center;min-height:44px;padding:6px 16px;\
border:2px solid var(--blue);\
border-radius:6px;background:none;color:var(--blue);font-family:inherit;font-size:.95rem;font-weight:600;\
line-height:1.2;white-space:nowrap;\
text-decoration:none;cursor:pointer}\
button.do,.bt.do{background:var(--blue);color:#fff}\
button.l{border:0;min-height:24px;padding:0;text-decoration:underline;font-weight:400}\
.halt{flex:none;display:flex}\
.halt button{width:182px;min-height:60px;border:6px solid #ffd400;border-radius:10px;background:var(--halt);\
color:#fff;\
font-size:1.4rem;font-weight:700;letter-spacing:.03em;justify-content:center}\
td form,td details{display:inline-block;margin:0 4px 4px 0}td button,td .bt{padding:4px 10px;\
font-size:.88rem}\
form.f{display:flex;flex-wrap:wrap;gap:12px;align-items:end;background:var(--field);border-radius:8px;\
padding:12px 14px;\
margin:0 0 14px}\
form.f div{flex:1 1 7.5rem;max-width:15rem}\
label{display:block;font-weight:700;font-size:.88rem}\
input,select,textarea{display:block;width:100%;min-height:44px;font-family:inherit;font-size:1rem;\
padding:7px 10px;\
border:1px solid #60656d;border-radius:6px;background:var(--back);color:inherit;font-weight:400}\
textarea{min-height:70px}\
input[type=checkbox],input[type=radio]{display:inline-block;width:24px;height:24px;min-height:24px;\
vertical-align:middle;margin:0 8px 0 0}\
.tick{font-weight:400;font-size:1rem;margin:14px 0}\
.col{max-width:760px}.col form label{margin:14px 0 4px}\
.acts{display:flex;flex-wrap:wrap;gap:12px;margin:18px 0}\
.end{margin-left:auto}.acts.end{margin:0 0 0 auto}details form{margin:10px 0}td details form{margin:4px 0}\
.legend span{margin-right:1.2em}\
.box{border:1px solid var(--line);border-radius:8px;padding:14px 18px;margin:0 0 16px}\
.box.answer{border:2px solid var(--blue)}.box.answer h2{margin-top:0;font-size:1.15rem}\
.box h2{margin-top:0}\
.note{border-left:5px solid var(--warn);background:var(--warnback);color:var(--warn);padding:9px 14px;\
border-radius:4px;\
margin:0 0 12px}.note a{color:inherit}\
.ok{border-left:5px solid var(--blue);background:var(--field);padding:9px 14px;border-radius:4px;\
margin:0 0 12px}\
svg.qr{display:block;width:100%;max-width:320px;margin:0 0 14px}\
.needs{border:1px solid var(--line);border-radius:8px;padding:0;margin:0 0 16px;list-style:none}\
.needs li{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:baseline;padding:10px 14px;\
border-bottom:1px solid var(--line)}\
.needs li:last-child{border:0}.needs b{min-width:40px;text-align:right;font-size:1.1rem}.needs span{flex:1}\
td .acts{margin:10px 0}.three{display:flex;flex-wrap:wrap;gap:12px}.three>*{flex:1;min-width:110px}\
.two{display:flex;flex-wrap:wrap;gap:22px}.two>*{flex:1;min-width:300px}\
svg.c{display:block;width:100%;height:auto;max-width:520px}svg.c text{font-size:12px;fill:var(--ink)}\
svg.c .t{fill:var(--soft)}svg.c .h{font-weight:700}\
svg.bar{display:block;width:100%;min-width:120px;height:26px}\
summary{cursor:pointer;min-height:24px}\
s{color:var(--soft)}\
.txt{margin:0 0 12px;white-space:pre-wrap;overflow-wrap:anywhere}\
footer{margin-top:28px;color:var(--soft);font-size:.88rem}\
.skip{position:absolute;left:-9999px}.skip:focus{left:8px;top:8px;background:var(--back);padding:8px}\
@media(max-width:760px){header{flex-direction:column;padding:8px}.strip small{margin-left:0;width:100%}\
.halt button{width:100%;min-height:72px}.grid{display:block}nav{display:flex;overflow-x:auto;width:auto;\
border:0;\
border-bottom:1px solid var(--line);padding:8px}main{padding:12px}\
table.r thead{position:absolute;left:-9999px}table.r tr{display:block;border-bottom:1px solid var(--line);\
padding:8px 0}\
table.r td{display:block;border:0;padding:2px 0;text-align:left}table.r td.num::before,\
table.r td[data-l]::before{\
content:attr(data-l) ' ';color:var(--soft);font-size:.85rem}.end,.acts.end{margin-left:0}}\
@media(prefers-color-scheme:dark){:root{--ink:#eee;--soft:#b4b8bf;--line:#4a4f57;--back:#14161a;\
--field:#22262c;--blue:#7db4ff;\
--chart:#5fb2ee;--warn:#ffcf8a;--warnback:#3a2a10}button.do,.bt.do,.b.on{color:#0b1a2e}}";
