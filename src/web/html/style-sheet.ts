/**
 * The style sheet. Colours are variables, for light and dark mode; sizes are in rem; the layout uses no absolute
 * positions.
 */
export const styleSheet = `:root {
  color-scheme: light dark;
  --ground: #f7f8fa; --paper: #ffffff; --ink: #16202c; --soft: #4a5766; --line: #cfd6de; --code: #eef2f6;
  --link: #14508f; --button: #1f5fa8; --button-ink: #ffffff;
  --good: #0f6b39; --good-ground: #e6f4ec; --bad: #a0261b; --bad-ground: #fcecea; --note: #7a4d00; --note-ground: #fdf3e0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11161c; --paper: #1a2129; --ink: #e8edf2; --soft: #aab6c2; --line: #3a4653; --code: #232c36;
    --link: #8fc1f5; --button: #2f6fb8; --button-ink: #ffffff;
    --good: #7fd6a4; --good-ground: #15301f; --bad: #ffa99f; --bad-ground: #3b1a17; --note: #f2c879; --note-ground: #352810;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { font: 100%/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', 'DejaVu Sans', sans-serif; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); overflow-wrap: anywhere; }
main, header, footer { max-width: 58rem; margin: 0 auto; padding: 0 1rem; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1.25rem; padding-block: .75rem; }
main { padding-block: .5rem 2rem; }
main:focus { outline: none; }
footer { border-top: 1px solid var(--line); padding-block: 1rem 2rem; color: var(--soft); font-size: .9rem; }
footer p { margin: .2rem 0; }
.brand { font-weight: 650; color: var(--ink); text-decoration: none; }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1rem; list-style: none; margin: 0; padding: 0; }
nav a { display: inline-block; padding: .3rem 0; text-decoration: none; border-bottom: 2px solid transparent; }
nav a[aria-current] { border-bottom-color: var(--link); font-weight: 600; }
.logout { display: flex; flex-wrap: wrap; align-items: center; gap: .6rem; margin-inline-start: auto; }
.who { color: var(--soft); }
h1 { font-size: 1.65rem; line-height: 1.25; margin: .75rem 0 .75rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 1.75rem 0 .5rem; }
h3 { font-size: 1.02rem; margin: 1.1rem 0 .3rem; }
p, ul, ol, dl { margin: .5rem 0; }
a { color: var(--link); }
a:focus-visible, button:focus-visible, input:focus-visible, select:focus-visible, textarea:focus-visible, summary:focus-visible {
  outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px;
}
.skip { position: absolute; left: -100rem; }
.skip:focus { left: .5rem; top: .5rem; background: var(--paper); padding: .5rem .75rem; z-index: 1; }
.lead { font-size: 1.1rem; max-width: 44rem; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.1rem; margin: .9rem 0; }
.card > :first-child { margin-top: 0; }
.card > :last-child { margin-bottom: 0; }
.card h2, .card h3 { margin-top: 0; }
.row { display: flex; flex-wrap: wrap; gap: .6rem .8rem; align-items: center; }
.button, button {
  display: inline-flex; align-items: center; gap: .35em; font: inherit; font-weight: 600; line-height: 1.3; padding: .5rem 1rem; min-height: 2.75rem; cursor: pointer;
  color: var(--button-ink); background: var(--button); border: 1px solid transparent; border-radius: .45rem; text-decoration: none;
}
.button:hover, button:hover { filter: brightness(1.08); }
.quiet { color: var(--link); background: transparent; border-color: var(--line); font-weight: 500; }
.danger { background: #a62a1f; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
[hidden] { display: none !important; }
code, pre, textarea, .mono { font-family: ui-monospace, 'Liberation Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: .9rem; }
code { background: var(--code); padding: .1em .3em; border-radius: .25rem; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: .45rem; padding: .7rem .85rem; margin: .5rem 0; white-space: pre-wrap; }
pre code { background: none; padding: 0; }
label { display: block; font-weight: 600; margin-top: .9rem; }
.field { margin: .9rem 0; }
.field label, .card > input[type=hidden] + .field { margin-top: 0; }
.hint { color: var(--soft); font-size: .92rem; margin: .15rem 0 .35rem; }
input[type=text], input[type=password], input[type=number], select, textarea {
  width: 100%; max-width: 32rem; font: inherit; color: var(--ink); background: var(--paper);
  border: 1px solid var(--soft); border-radius: .4rem; padding: .5rem .6rem; min-height: 2.75rem;
}
textarea { max-width: 100%; font-size: .85rem; line-height: 1.4; font-family: ui-monospace, 'Liberation Mono', 'DejaVu Sans Mono', monospace; }
input[aria-invalid=true], select[aria-invalid=true], textarea[aria-invalid=true] { border: 2px solid var(--bad); }
.error { color: var(--bad); font-weight: 600; margin: .2rem 0; }
.box { border: 1px solid; border-radius: .5rem; padding: .6rem .9rem; margin: .9rem 0; }
.box p { margin: .25rem 0; }
.bad { color: var(--bad); background: var(--bad-ground); }
.good { color: var(--good); background: var(--good-ground); }
.note { color: var(--note); background: var(--note-ground); }
.badge { display: inline-block; font-size: .85rem; font-weight: 600; padding: .1rem .55rem; border-radius: 1rem; border: 1px solid; }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .35rem 0; }
dl.facts { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .2rem 1rem; }
dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; }
ol.log { list-style: none; padding: 0; }
.log .card { padding: .6rem .9rem; margin: .5rem 0; }
.log h2 { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .6rem; font-size: 1.02rem; }
.log time { margin-inline-start: auto; font-weight: 400; font-size: .92rem; color: var(--soft); }
.log dl { margin: .3rem 0; font-size: .92rem; }
table.issued { width: 100%; border-collapse: collapse; background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; margin: 1.2rem 0; }
.issued caption { text-align: start; font-size: 1.1rem; font-weight: 650; padding: .3rem 0; }
.issued th, .issued td { text-align: start; vertical-align: top; padding: .6rem .8rem; border-top: 1px solid var(--line); }
.issued thead th { color: var(--soft); font-weight: 500; font-size: .92rem; border-top: 0; }
.issued tbody th { width: 34%; }
.issued time, .issued td .hint { white-space: nowrap; }
.issued .members time { white-space: normal; }
.issued .hint { display: block; font-weight: 400; margin: .15rem 0; }
.issued details { margin: 0; font-weight: 400; font-size: .92rem; }
.issued summary { font-weight: 500; color: var(--link); }
.issued .button { min-height: 2.4rem; padding: .3rem .8rem; }
.members { margin: .3rem 0; padding-inline-start: 1.1rem; }
meter { display: block; width: 100%; max-width: 11rem; height: .8rem; margin: .25rem 0 0; }
.filter label { margin: 0; font-weight: 500; }
.filter select { width: auto; }
@media (max-width: 46rem) {
  table.issued, .issued tbody, .issued tbody th, .issued td, .issued caption { display: block; width: auto; }
  .issued tbody th { grid-column: 1 / -1; }
  .issued td:last-child { align-self: end; }
  .issued td:first-of-type { display: none; }
  table.issued { border: 0; background: none; }
  .issued thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .issued tbody tr { display: grid; grid-template-columns: 1fr auto; background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: .3rem 0; margin: .6rem 0; }
  .issued tbody th, .issued td { border: 0; padding: .2rem .8rem; }
  .issued td:empty { display: none; }
  .issued td:not(:empty)::before { content: attr(data-label) ' '; display: block; color: var(--soft); font-size: .85rem; }
  .issued td[data-label=Revoke]::before { display: none; }
}
@media (max-width: 34rem) {
  h1 { font-size: 1.4rem; }
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: .4rem; }
  .logout { margin-inline-start: 0; }
}
@media print { header nav, .logout, footer, button, .button { display: none; } }
`
