// The console's own behaviour; htmx does the requests and Basecoat the notes.
// Everything here is an extra: each page works without it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const store = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* for this page only */ } },
  };
  const note = (title) => one('#toaster')?.toast?.({ category: 'info', title });

  // --- Times: the server's words (view.Relative, view.Duration), kept ticking.
  const two = (n) => String(n).padStart(2, '0');
  const roughly = (s) => s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min`
    : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
  const duration = (s) => s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} m ${two(s % 60)} s`
    : s < 86400 ? `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} m`
    : `${Math.floor(s / 86400)} d ${two(Math.floor(s / 3600) % 24)} h`;
  const parts = (at, utc) => utc
    ? [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()]
    : [at.getFullYear(), at.getMonth(), at.getDate(), at.getHours(), at.getMinutes(), at.getSeconds()];
  const timeModes = ['relative', 'local', 'UTC'];
  let timeMode = timeModes.includes(store.get('time')) ? store.get('time') : 'relative';

  const wording = {
    rel(at, seconds) {
      if (timeMode === 'relative') {
        return seconds < 0 ? `in ${roughly(-seconds)}` : seconds < 5 ? 'just now' : `${roughly(seconds)} ago`;
      }
      const [y, mo, d, h, m] = parts(at, timeMode === 'UTC');
      return `${y}-${two(mo + 1)}-${two(d)} ${two(h)}:${two(m)}`;
    },
    since: (at, seconds) => duration(Math.max(seconds, 0)),
    clock(at) {
      const utc = timeMode === 'UTC';
      const [, , , h, m, s] = parts(at, utc);
      return `${two(h)}:${two(m)}:${two(s)}${utc ? ' UTC' : ''}`;
    },
    hm(at) {
      const [, , , h, m] = parts(at, timeMode === 'UTC');
      return `${two(h)}:${two(m)}`;
    },
  };

  function tick(root = document) {
    const now = Date.now();
    for (const el of all('[data-as]', root)) {
      if (el.closest('.past')) continue; // in the past the clock stands still, and says its zone
      const at = new Date(el.getAttribute('datetime') || el.dataset.at);
      const text = wording[el.dataset.as](at, Math.floor((now - at) / 1000));
      if (el.textContent !== text) el.textContent = text;
    }
    for (const el of all('[data-time-text]')) el.textContent = timeMode;
    for (const el of all('[data-time-choice]')) el.checked = el.value === timeMode;
  }
  function switchTime(mode = timeModes[(timeModes.indexOf(timeMode) + 1) % timeModes.length]) {
    timeMode = mode;
    store.set('time', timeMode);
    tick();
    note(`Times are ${timeMode}`);
  }
  setInterval(tick, 1000);
  document.addEventListener('htmx:after:swap', () => tick());

  // --- Theme
  const themes = ['system', 'light', 'dark'];
  const themeNow = () => document.documentElement.dataset.theme;
  function showTheme() {
    for (const el of all('[data-theme-choice]')) el.checked = el.value === themeNow();
    for (const el of all('[data-density-choice]')) el.checked = el.value === document.documentElement.dataset.density;
  }
  function switchTheme(theme = themes[(themes.indexOf(themeNow()) + 1) % themes.length]) {
    window.setTheme(theme);
    showTheme();
    note(`Theme: ${theme}`);
  }

  // --- Copy, with a selected field where the clipboard is not allowed.
  async function copy(text, from) {
    try {
      await navigator.clipboard.writeText(text);
      note('Copied');
    } catch {
      const field = Object.assign(document.createElement('input'), { value: text, readOnly: true, className: 'copy-field' });
      field.setAttribute('aria-label', 'Copy this text');
      field.addEventListener('blur', () => field.replaceWith(from));
      from.replaceWith(field);
      field.select();
    }
  }

  // --- Live: one stream per page. A paused page stops reading, so the server's
  // messages wait in the connection and none is lost.
  const states = { connecting: 'Connecting', live: 'Live', paused: 'Paused', reconnecting: 'Reconnecting', offline: 'Offline', ended: 'Ended' };
  let connection = 'connecting';
  let since = null;
  let resume = null;
  let resumed = Promise.resolve();
  const holds = new Set(); // why the page does not follow: user, selection, pace
  const paces = ['live', '5', '30', 'manual'];
  let pace = paces.includes(store.get('pace')) ? store.get('pace') : 'live';
  const paceText = { 5: 'Every 5 s', 30: 'Every 30 s', manual: 'By hand' };

  function show() {
    const live = one('#live');
    if (!live) return;
    const paused = holds.has('user') || holds.has('selection');
    const state = connection === 'ended' ? 'ended' : paused ? 'paused' : navigator.onLine ? connection : 'offline';
    live.dataset.state = state;
    const text = state === 'reconnecting' ? `Reconnecting since ${wording.hm(since)}`
      : state === 'live' && pace !== 'live' ? paceText[pace] : states[state];
    one('[data-live-text]', live).textContent = text;
    live.setAttribute('aria-label', `Updates: ${text}`);
    for (const choice of all('[data-pace]')) choice.setAttribute('aria-pressed', String(choice.dataset.pace === pace));
  }
  function connected(state) {
    if (state === 'reconnecting' && connection !== 'reconnecting') since = new Date();
    connection = state;
    show();
  }
  function pause(on) {
    if (on === Boolean(resume) || connection === 'ended') return;
    if (on) {
      resumed = new Promise((done) => { resume = done; });
    } else {
      resume();
      resume = null;
    }
    show();
  }
  function hold(why, on) {
    if (on) holds.add(why); else holds.delete(why);
    pause(holds.size > 0);
    show();
  }
  const toggle = () => hold('user', !holds.has('user'));
  document.addEventListener('tp:hold', (e) => hold(e.detail.why, e.detail.on));

  // A slower pace holds the messages and lets those that wait through at each beat.
  let beat = 0;
  function letThrough() {
    hold('pace', false);
    setTimeout(() => hold('pace', pace !== 'live'), 700);
  }
  function setPace(wanted) {
    pace = wanted;
    store.set('pace', pace);
    clearInterval(beat);
    hold('pace', pace !== 'live');
    if (Number(pace)) beat = setInterval(letThrough, Number(pace) * 1000);
  }
  document.addEventListener('htmx:sse:after:connection', () => connected('live'));
  document.addEventListener('htmx:sse:before:connection', (e) => { if (e.detail.connection.attempt > 0) connected('reconnecting'); });
  document.addEventListener('htmx:sse:error', () => connected('reconnecting'));
  document.addEventListener('htmx:sse:close', (e) => { if (e.detail.reason !== 'removed') connected('ended'); });
  // A stream that was refused from the start (too many are open, say) is asked for again; the page is as it was meanwhile.
  document.addEventListener('htmx:response:error', (e) => {
    const { sourceElement: stream, response } = e.detail.ctx;
    if (stream?.id !== 'stream') return;
    if (![429, 503].includes(response.status)) return connected('ended');
    connected('reconnecting');
    const again = () => stream.isConnected && window.htmx.ajax('GET', stream.getAttribute('hx-sse:connect'), { source: stream });
    setTimeout(again, 1000 * (Number(response.headers.get('Retry-After')) || 5));
  });
  document.addEventListener('htmx:sse:before:message', (e) => e.detail.waitUntil(resumed));
  document.addEventListener('toast', (e) => note(e.detail.data));
  window.addEventListener('online', show);
  window.addEventListener('offline', show);

  // --- Dialogs
  document.addEventListener('htmx:before:request', (e) => {
    const source = e.detail.ctx.sourceElement;
    if (source.matches('[data-dialog]')) {
      one('#dialog-body').replaceChildren(one('#dialog-loading').content.cloneNode(true));
      one('#dialog').showModal();
      if (source.matches('[data-palette]')) atOnce();
    }
    if (source.matches('[data-start]')) one('[type="submit"]', source).setAttribute('aria-busy', 'true');
  });
  document.addEventListener('htmx:after:swap', (e) => {
    if (e.detail.ctx.sourceElement?.matches('[data-dialog]')) (one('#dialog-body [autofocus], #dialog-body [data-first]') ?? one('#start-title'))?.focus();
  });
  document.addEventListener('htmx:finally:request', (e) => {
    one('[aria-busy]', e.detail.ctx.sourceElement)?.removeAttribute('aria-busy');
  });
  // A start whose answer was lost asks again with the same attempt id: the
  // server answers what became of the first one and starts nothing twice.
  document.addEventListener('htmx:error', (e) => {
    const form = e.detail.ctx?.sourceElement;
    if (form?.matches('[data-palette]')) return atOnce('Nothing else can be looked up: the console cannot be reached.');
    if (form?.matches('[data-dialog]')) location.assign(form.href);
    if (!form?.matches('[data-start]')) return;
    one('[data-lost]', form).hidden = false;
    setTimeout(() => form.isConnected && form.requestSubmit(), 3000);
  });
  document.addEventListener('submit', (e) => {
    const form = e.target;
    const dialog = one('#confirm');
    if (!form.matches('[data-confirm]') || !dialog || form.dataset.confirmed) return;
    e.preventDefault();
    one('#confirm-title').textContent = form.dataset.text;
    one('[data-confirm-yes]').textContent = e.submitter?.textContent.trim() || 'Confirm';
    dialog.returnValue = 'cancel';
    dialog.addEventListener('close', () => {
      if (dialog.returnValue !== 'yes') return;
      form.dataset.confirmed = 'true';
      form.requestSubmit(e.submitter);
    }, { once: true });
    dialog.showModal();
  });

  // A form that leaves the page is sent once, however often it is clicked; htmx looks after its own. Should no answer come, it may be sent
  // again after a while, unless that could do harm.
  document.addEventListener('submit', (e) => {
    const form = e.target;
    if (e.defaultPrevented || form.method !== 'post' || form.matches('[hx-post]')) return;
    if (form.dataset.sent) return e.preventDefault();
    form.dataset.sent = 'true';
    if (form.matches('[data-once]')) one('button:not([type="button"])', form)?.setAttribute('aria-busy', 'true');
    else setTimeout(() => delete form.dataset.sent, 10000);
  });
  addEventListener('pageshow', () => all('form[data-sent]').forEach((form) => {
    delete form.dataset.sent;
    one('[aria-busy]', form)?.removeAttribute('aria-busy');
  }));

  // --- Clicks and typing
  const shortcutsOn = () => store.get('shortcuts') !== 'off';
  document.addEventListener('click', (e) => {
    const on = (selector) => e.target.closest(selector);
    const copied = on('[data-copy]');
    if (copied) copy(copied.dataset.copy, copied);
    else if (on('[data-theme-switch]')) switchTheme();
    else if (on('[data-time-switch]')) switchTime();
    else if (on('[data-help]')) help();
    else if (on('#live')) toggle();
    else if (on('[data-pace]')) setPace(on('[data-pace]').dataset.pace);
    else if (on('[data-update]')) letThrough();
    else if (on('dialog [data-close]')) {
      e.preventDefault();
      on('dialog').close();
    }
  });
  document.addEventListener('input', (e) => {
    const field = e.target;
    if (field.matches('[data-shortcuts]')) store.set('shortcuts', field.checked ? 'on' : 'off');
    if (field.matches('[data-theme-choice]')) switchTheme(field.value);
    if (field.matches('[data-time-choice]')) switchTime(field.value);
    if (field.matches('[data-density-choice]')) window.setDensity(field.value);
    if (!field.matches('[data-filter]')) return;
    const wanted = field.value.toLowerCase();
    for (const line of all(`${field.dataset.filter} > li`)) line.hidden = !line.textContent.toLowerCase().includes(wanted);
  });

  // --- Keys
  function showShortcuts() {
    for (const el of all('[data-shortcuts]')) el.checked = shortcutsOn();
  }
  const help = () => {
    showShortcuts();
    one('#viewer').hidePopover();
    one('#help').showModal();
  };
  function move(step) {
    const rows = all('.row-link');
    const at = rows.indexOf(document.activeElement);
    rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
  }
  function copyHere() {
    const row = document.activeElement.closest('.row-link');
    const button = one('main .copy');
    if (row) copy(row.dataset.id, row);
    else if (button) copy(button.dataset.copy, button);
  }
  const press = (selector) => { const el = one(selector); el?.click(); return Boolean(el); };
  const keys = {
    '/': () => one('main input[type="search"]')?.focus(),
    '?': () => help(),
    j: () => move(1),
    k: () => move(-1),
    c: copyHere,
    r: toggle,
    t: switchTheme,
    u: switchTime,
  };
  const onRow = () => document.activeElement.matches('.row-link');
  let going = 0;

  // --- Time machine: travelling replaces the view and leaves the slider where the focus is.
  let travelling = null;
  let wanted = null;
  async function travel(href) {
    wanted = href;
    if (travelling) return;
    while (wanted) {
      const next = wanted;
      wanted = null;
      travelling = fetch(next, { headers: { 'HX-Request': 'true', Accept: 'text/html' } });
      const answer = await travelling.catch(() => null);
      if (!answer?.ok) { travelling = null; location.assign(next); return; }
      const focused = document.activeElement?.closest('#machine-view [data-travel]')?.dataset.travel;
      const parsed = new DOMParser().parseFromString(await answer.text(), 'text/html');
      one('#machine-view').replaceWith(one('#machine-view', parsed));
      const view = one('#machine-view');
      const slider = one('#machine input[type="range"]');
      slider.value = view.dataset.step;
      slider.setAttribute('aria-valuetext', view.dataset.text);
      history.replaceState(null, '', view.dataset.href);
      for (const field of all('#machine form input[type="hidden"]')) field.remove();
      const kept = new URL(view.dataset.href, location.href).searchParams;
      for (const name of ['base', 'show']) {
        if (kept.has(name)) slider.form.prepend(Object.assign(document.createElement('input'), { type: 'hidden', name, value: kept.get(name) }));
      }
      if (focused) one(`#machine-view [data-travel="${focused}"]`)?.focus();
      travelling = null;
    }
  }
  const stepTo = (name) => { const link = one(`#machine-view [data-travel="${name}"]`); if (link) travel(link.href); return Boolean(link); };
  let playing = null;
  function play(on) {
    const button = one('[data-play]');
    clearInterval(playing);
    playing = on ? setInterval(() => { if (!travelling && !stepTo('forward')) play(false); }, 1000 / Number(one('[data-play-speed]').value)) : null;
    button.setAttribute('aria-pressed', String(on));
    one('span', button).textContent = on ? 'Pause' : 'Play';
  }
  if (one('[data-machine]')) {
    const slider = one('#machine input[type="range"]');
    slider.addEventListener('input', () => {
      const url = new URL(one('[data-machine]').dataset.machine, location.href);
      for (const field of new FormData(slider.form)) url.searchParams.set(...field);
      travel(url.href);
    });
    document.addEventListener('click', (e) => {
      const link = e.target.closest('a[data-travel]');
      if (link && !e.ctrlKey && !e.metaKey && !e.shiftKey) { e.preventDefault(); travel(link.href); }
      if (e.target.closest('[data-play]')) play(!playing);
    });
    one('[data-play-speed]').addEventListener('change', () => { if (playing) play(true); });
    document.addEventListener('keydown', (e) => {
      if (!shortcutsOn() || e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
      const field = e.target.closest('input, select, textarea, [contenteditable], dialog, pre, .scroll');
      if (field && field !== slider) return;
      const name = { ArrowLeft: e.shiftKey ? 'back10' : 'back', ArrowRight: e.shiftKey ? 'forward10' : 'forward', Home: 'first', End: 'last', b: 'base' }[e.key];
      if (name) { e.preventDefault(); stepTo(name); }
      if (e.key === 'p' && Date.now() - going > 1500) { e.preventDefault(); play(!playing); }
    });
  }

  // Ctrl-Enter continues: it sends the step's form, or follows its link on.
  document.addEventListener('keydown', (e) => {
    if (e.key !== 'Enter' || !(e.ctrlKey || e.metaKey) || e.defaultPrevented || e.target.closest('dialog')) return;
    const next = e.target.closest('form[data-continue]') ?? one('form[data-continue], a[data-continue]');
    if (!next) return;
    e.preventDefault();
    // After the keys: with Ctrl held, the browser would open what comes in another tab.
    let gone = false;
    const go = () => {
      if (gone) return;
      gone = true;
      if (next.matches('form')) next.requestSubmit(); else next.click();
    };
    document.addEventListener('keyup', () => setTimeout(go), { once: true });
    setTimeout(go, 500);
  });

  // What was looked at last, for the palette. It is the tab's, and goes with it and with signing out: the names are the workspace's. Provider
  // connections are no objects of the palette.
  const objects = [
    [/^\/admin\/tenants\/[^/]+$/, 'Tenant'], [/^\/admin\/(t\/[^/]+\/)?operations\/\d+$/, 'Run'],
    [/^\/admin\/attempts\/[^/]+$/, 'Attempt'], [/^\/admin\/onboarding\/\d+$/, 'Onboarding'], [/^\/admin\/audit\/\d+$/, 'Audit'],
  ];
  const recentKey = () => `recent ${one('.brand small')?.textContent} ${one('.avatar-button .sr')?.textContent}`;
  function recents() {
    try { return JSON.parse(sessionStorage.getItem(recentKey())) ?? []; } catch { return []; }
  }
  function remember() {
    const kind = objects.find(([path]) => path.test(location.pathname))?.[1];
    if (!kind || !one('.avatar-button')) return;
    const here = { href: location.pathname, label: one('h1').textContent, kind };
    try {
      sessionStorage.setItem(recentKey(), JSON.stringify([here, ...recents().filter((r) => r.href !== here.href)].slice(0, 8)));
    } catch { /* then none are remembered */ }
  }
  document.addEventListener('submit', (e) => { if (e.target.matches('[data-sign-out]')) sessionStorage.clear(); });
  function paletteGroup(title, items) {
    const heading = Object.assign(document.createElement('h3'), { textContent: title });
    const list = Object.assign(document.createElement('ul'), { className: 'plain' });
    list.append(...items.map(({ href, label, kind }) => {
      const link = Object.assign(document.createElement('a'), { className: 'palette-item', href });
      link.append(Object.assign(document.createElement('span'), { textContent: label }), Object.assign(document.createElement('small'), { className: 'muted', textContent: kind }));
      const line = document.createElement('li');
      line.append(link);
      return line;
    }));
    return items.length ? [heading, list] : [];
  }
  const others = () => recents().filter((r) => r.href !== location.pathname);
  // atOnce is what the palette has before the server answers, or when it does not.
  function atOnce(why) {
    const pages = all('.rail li a').map((a) => ({ href: a.href, label: a.textContent.trim(), kind: '' }));
    const body = Object.assign(document.createElement('div'), { id: 'start-body', className: 'start palette' });
    body.append(...(why ? [Object.assign(document.createElement('p'), { className: 'notice tone-warning', textContent: why })] : []),
      ...paletteGroup('Recent', others()), ...paletteGroup('Go to', pages));
    one('#dialog-body').replaceChildren(body);
  }
  document.addEventListener('htmx:after:swap', () => {
    const results = one('#palette-results');
    if (results && !results.dataset.recent && !one('.palette input[type="search"]').value) {
      results.dataset.recent = 'true';
      results.prepend(...paletteGroup('Recent', others()));
    }
  });

  // The command palette: Ctrl-K from anywhere, arrows through what it found.
  document.addEventListener('keydown', (e) => {
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === 'k' && one('[data-palette]')) {
      e.preventDefault();
      one('[data-palette]').click();
    }
    const palette = e.target.closest('.palette');
    if (!palette || (e.key !== 'ArrowDown' && e.key !== 'ArrowUp')) return;
    const stops = [...palette.querySelectorAll('input[type="search"], .palette-item')];
    const next = stops[stops.indexOf(document.activeElement) + (e.key === 'ArrowDown' ? 1 : -1)];
    if (next) { e.preventDefault(); next.focus(); }
  });

  document.addEventListener('keydown', (e) => {
    if (!shortcutsOn() || e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
    if (e.target.closest('input:not([type="checkbox"]), select, textarea, [contenteditable], dialog')) return;
    if (e.key === 'g') { going = Date.now(); return; }
    const selector = `[${Date.now() - going < 1500 ? 'data-go' : 'data-key'}="${CSS.escape(e.key)}"]`;
    going = 0;
    if (press(selector)) e.preventDefault();
    else if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
    else if (e.key === 'ArrowDown' && onRow()) { e.preventDefault(); move(1); }
    else if (e.key === 'ArrowUp' && onRow()) { e.preventDefault(); move(-1); }
    else document.dispatchEvent(new CustomEvent('tp:key', { detail: e })); // for the page's own scripts
  });

  tick();
  remember();
  showTheme();
  showShortcuts();
  if (pace !== 'live' && one('#stream')) setPace(pace);
  show();
})();
