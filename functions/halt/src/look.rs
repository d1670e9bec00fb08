//! Style and script of the halt page. Must never use red for anything but HALT, nor hold text that others
//! wrote.

/// Everything but the panel's own rules.
pub(crate) const STYLE: &str = "\
*{box-sizing:border-box}html{font:100%/1.4 system-ui,sans-serif;background:#fff;color:#111}\
body{margin:0 auto;padding:12px 16px 24px;max-width:30rem;overflow-wrap:anywhere}\
a{color:inherit}a,summary,button,input,textarea{min-height:44px}p{margin:0 0 8px}small{font-size:1rem}\
.top,.q{color:#444;font-size:1rem}.q{margin:12px 0 0}\
.vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\
:focus-visible{outline:4px solid #0b4f9f;outline-offset:3px}\
button,input,textarea{font:inherit;width:100%;border:2px solid #111;border-radius:10px;padding:10px;\
background:#fff;color:#111}\
button{font-weight:700;cursor:pointer}\
#act{display:contents}\
.halt{position:sticky;bottom:0;z-index:1;margin:20px 0 24px}\
.halt button{min-height:150px;border:14px solid #ffd400;border-radius:22px;background:#b3001b;color:#fff;\
padding:8px;font-size:1.1rem;line-height:1.3}\
.halt b{display:block;font-size:3rem;line-height:1.2;letter-spacing:.04em}\
.halt button:focus-visible{outline-color:#111;outline-offset:0}\
.box{border:2px solid #777;border-radius:12px;padding:16px;margin:20px 0 16px}.still{min-height:150px}\
.box ul{margin:0 0 8px;padding-left:1.2em}.cust{border:3px solid #111}\
.go,.bt{display:block;margin-top:24px}.low{margin-top:150px}.low a,.cust a,.go{padding:10px 0}\
.low a,.cust a{display:inline-block}\
.bt{border:2px solid;border-radius:10px;padding:10px;font-weight:700;text-align:center;text-decoration:none}\
fieldset{border:0;padding:0;margin:16px 0}legend{font-weight:700;padding:0;margin:0 0 6px}\
details{border:solid #999;border-width:1px 0;margin:16px 0}\
summary{display:flex;align-items:center;gap:12px;font-weight:700;cursor:pointer;list-style:none}\
summary:before{content:'+';font-size:1.5rem}[open]>summary:before{content:'\\2212'}\
summary::-webkit-details-marker{display:none}\
.row{display:flex;gap:20px;align-items:center;justify-content:space-between;padding:10px 0;\
border-top:1px solid #999}.row p{margin:0}\
.one button{background:#b3001b;color:#fff;border-color:#b3001b;min-height:48px;width:112px;flex:none}\
.one.find button{width:100%;margin-top:20px}\
.foot{margin-top:24px;color:#444}.foot a{display:inline-block;padding:10px 24px 10px 0}\
label{display:block;font-weight:700;margin:16px 0 6px}.pick{font-weight:400;display:flex;gap:12px;\
align-items:center;min-height:44px;margin:0}.pick input{width:24px;min-height:24px;flex:none}\
.blue{background:#0b4f9f;border-color:#0b4f9f;color:#fff;margin-top:20px}\
.bad{border:3px dashed #111;border-radius:10px;padding:12px;margin:12px 0;font-weight:700}\
.bad ul{font-weight:400;padding-left:1.2em;margin:0}\
h2{font-size:1.5rem;line-height:1.2;margin:20px 0 8px}\
@media(orientation:landscape) and (max-height:500px){body{max-width:56rem}\
#live{display:grid;grid-template-columns:1fr 1fr;gap:0 20px}#live>*,#act>*{grid-column:1/-1}\
#live>#pan,#act>.halt,#act>.still{grid-column:auto;margin-top:0}}\
@media(prefers-color-scheme:dark){html{background:#000;color:#fff}.top,.q,.foot{color:#bbb}\
button,input,textarea{background:#000;color:#fff;border-color:#fff}.halt button{border-color:#ffd400;\
background:#b3001b}.one button{background:#b3001b;border-color:#b3001b}.cust,.bad{border-color:#fff}\
.blue{background:#0b4f9f;border-color:#7db4ff}:focus-visible{outline-color:#7db4ff}\
.halt button:focus-visible{outline-color:#fff}}\
@media print{.halt{position:static}}";

/// Polls, sends halts again until they land, and says so. Without it every form still works.
///
/// It replaces panel and button only. A press is never lost to a replacement: the button's part is left alone
/// while it is the same. Resume is never sent by it.
pub(crate) const SCRIPT: &str = "\
(()=>{if(!self.AbortSignal||!AbortSignal.timeout)return;\
let d=document,$=i=>d.getElementById(i),l=$('live'),w=l.dataset.w,t=l.dataset.t,last=Date.now(),busy=0,\
o=()=>({cache:'no-store',signal:AbortSignal.timeout(4e3)}),\
tell=s=>{let e=$('say');if(e.textContent!=s)e.textContent=s},\
show=(k,n)=>{let c=$(k).content.cloneNode(true),p=$('pan'),\
f=(s,v)=>c.querySelectorAll(s).forEach(e=>e.textContent=v);\
f('.n',n);f('.t',t);f('.w',w);p.replaceChildren(c);\
if($('xh')&&!d.querySelector('.halt'))$('act').replaceChildren($('xh').content.cloneNode(true));\
let h=p.querySelector('h1').textContent;\
d.title=h+d.title.slice(d.title.indexOf(' ·'));tell(h+'. '+p.querySelector('b').textContent)},\
take=async r=>{if(!r.ok)throw r;let n=new DOMParser().parseFromString(await r.text(),'text/html'),\
x=n.getElementById('live');if(!x)throw r;for(let i of['pan','act','facts']){let a=$(i),b=n.getElementById(i);\
if(a.innerHTML!=b.innerHTML){let f=a.contains(d.activeElement);a.replaceWith(b);\
if(f)(b.querySelector('button')||b).focus()}}\
let a=$('rest'),b=n.getElementById('rest');if(a.dataset.k!=b.dataset.k)a.replaceWith(b);\
w=x.dataset.w;t=x.dataset.t;last=Date.now();d.title=n.title;tell(x.dataset.s)},\
look=()=>d.hidden||busy||fetch(location.href,o()).then(r=>busy||take(r)).catch(()=>{}),\
send=(u,b,n)=>{fetch(u,{method:'POST',body:b,...o()}).then(take).then(()=>{busy--}).catch(r=>{\
if(r&&r.status==422){busy--;location.reload();return}show('x12',n);setTimeout(()=>send(u,b,n+1),2e3)})};\
d.addEventListener('submit',e=>{let f=e.target,s=e.submitter;if(f.dataset.h==null)return;e.preventDefault();\
if(f.sent&&busy)return;f.sent=1;let b=new URLSearchParams(new FormData(f));\
if(s&&s.name)b.set(s.name,s.value);busy++;show('x11',1);send(f.action,b,1)});\
setInterval(()=>{look();if(!busy&&Date.now()-last>12e3)show('x13',1)},5e3);\
d.addEventListener('visibilitychange',look);\
addEventListener('pageshow',e=>{if(e.persisted)location.reload()})})()";
