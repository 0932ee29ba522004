// The lists of runs and of attempts, and the way from one run to the next: selection, the panel at
// the side, keys. Everything here is an extra: boxes, links and forms do the same.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);

  // --- Selection. Any selection pauses the updates.
  const boxes = () => all('.pick input[form="bulk"]');
  let last = null; // the box that a range begins at
  function selection() {
    const bar = one('#bulk');
    if (!bar) return;
    const others = one('[data-others]', bar);
    const shown = boxes();
    const picked = shown.filter((box) => box.checked).length;
    const n = picked + Number(others?.dataset.others ?? 0);
    bar.hidden = n === 0;
    one('[data-picked]', bar).textContent = n ? `${n} selected.` : '';
    one('[data-picked-note]', bar).textContent = n && one('#stream') ? 'Updates paused.' : '';
    const page = one('[data-pick-page]');
    page.checked = picked > 0 && picked === shown.length;
    page.indeterminate = picked > 0 && picked < shown.length;
    const matching = one('[data-pick-all]', bar);
    if (matching) matching.hidden = !page.checked || Boolean(others);
    document.dispatchEvent(new CustomEvent('tp:hold', { detail: { why: 'selection', on: n > 0 } }));
  }
  function pick(box, on, range) {
    const shown = boxes();
    const from = range && last ? shown.indexOf(last) : shown.indexOf(box);
    const to = shown.indexOf(box);
    for (const b of shown.slice(Math.min(from, to), Math.max(from, to) + 1)) b.checked = on;
    last = box;
    selection();
  }
  function clear() {
    one('#bulk [data-others]')?.remove();
    for (const box of boxes()) box.checked = false;
    const here = new URL(location.href);
    if (here.searchParams.has('select')) {
      here.searchParams.delete('select');
      history.replaceState(null, '', here);
    }
    last = null;
    selection();
  }

  // --- The panel at the side.
  let seen = ''; // what the peeked run's row said when the panel was read
  const peeked = () => one('[data-peeked]');
  const rowOf = (number) => one(`#run-${CSS.escape(number)}`);
  const rowText = (number) => all('.run-status .status, .progress-cell', rowOf(number) ?? undefined).map((el) => el.textContent).join();
  function closePeek() {
    const panel = peeked();
    if (!panel) return;
    history.replaceState(null, '', one('[data-peek-close]', panel).href);
    const row = rowOf(panel.dataset.peeked);
    panel.remove();
    one('.row-link', row ?? undefined)?.focus();
  }
  document.addEventListener('htmx:after:swap', (e) => {
    const source = e.detail.ctx?.sourceElement;
    if (source?.matches?.('[data-peek]')) {
      const panel = peeked();
      if (!panel) return;
      seen = rowText(panel.dataset.peeked);
      if (source.dataset.again) {
        delete source.dataset.again;
        return;
      }
      history.replaceState(null, '', source.getAttribute('href'));
      one('#peek-title').focus();
      return;
    }
    const panel = peeked();
    if (panel && rowOf(panel.dataset.peeked) && seen && rowText(panel.dataset.peeked) !== seen) {
      const link = one('[data-peek]', rowOf(panel.dataset.peeked));
      link.dataset.again = 'true'; // read it again, and leave the focus where it is
      link.click();
    }
  });

  document.addEventListener('click', (e) => {
    const on = (selector) => e.target.closest(selector);
    if (on('.pick input[form="bulk"]')) pick(e.target, e.target.checked, e.shiftKey);
    else if (on('[data-pick-page]')) {
      for (const box of boxes()) box.checked = e.target.checked;
      selection();
    } else if (on('[data-pick-none]')) clear();
    else if (on('[data-peek-close]')) {
      e.preventDefault();
      closePeek();
    } else if (on('.row-link')) remember();
  });

  // --- From item to item of the list one came from.
  function remember() {
    try {
      sessionStorage.setItem('list', JSON.stringify(all('.row-link').map((a) => a.pathname)));
    } catch { /* then there is no way from item to item */ }
  }
  function neighbour(step) {
    let list = [];
    try { list = JSON.parse(sessionStorage.getItem('list')) ?? []; } catch { /* none */ }
    const at = list.indexOf(location.pathname);
    const next = list[at + step];
    if (at >= 0 && next) location.assign(next);
  }

  // --- A run's events.
  function nextFailed() {
    const failed = all('.events .tone-negative, .events .tone-warning, .events .tone-stop');
    const at = failed.indexOf(document.activeElement);
    const next = failed[(at + 1) % failed.length];
    if (!next) return;
    next.tabIndex = -1;
    next.focus();
    next.scrollIntoView({ block: 'center' });
  }
  function expand() {
    const details = all('.events details');
    const open = details.some((d) => !d.open);
    for (const d of details) d.open = open;
  }

  document.addEventListener('tp:key', ({ detail: e }) => {
    const row = document.activeElement.closest('[data-row]');
    const at = document.activeElement.matches('.row-link');
    const keys = {
      x: () => { const box = row && one('.pick input', row); if (box) pick(box, !box.checked, false); },
      X: () => { const box = row && one('.pick input', row); if (box) pick(box, true, true); },
      o: () => (row && peeked()?.dataset.peeked === one('.row-link', row).dataset.id ? closePeek() : row && one('[data-peek]', row)?.click()),
      ' ': () => at && keys.o(),
      Escape: () => { if (!one(':popover-open')) closePeek(); },
      '[': () => neighbour(-1),
      ']': () => neighbour(1),
      n: nextFailed,
      e: expand,
    };
    if (!keys[e.key] || (e.key === ' ' && !at)) return;
    if (e.key !== 'Escape') e.preventDefault();
    keys[e.key]();
  });

  selection();
})();
