// What the pages do more where scripts run. Everything works without it.
'use strict';
(() => {
  const lang = document.documentElement.lang;
  const body = document.body;
  const $ = (selector, root = document) => root.querySelector(selector);

  // Times: in the visitor's zone, with UTC in brackets.
  const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', hour12: false });
  const day = new Intl.DateTimeFormat(lang, { year: 'numeric', month: 'short', day: 'numeric' });
  const full = new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'long' });
  const elsewhere = new Date().getTimezoneOffset() !== 0;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const times = (root) => {
    if (!elsewhere) return;
    for (const element of root.querySelectorAll('time[datetime]')) {
      const at = new Date(element.dateTime);
      const utc = element.textContent;
      const otherDay = at.getDate() !== at.getUTCDate();
      const local = utc.length > 10 || otherDay ? `${day.format(at)} ${clock.format(at)}` : clock.format(at);
      // The date of UTC only where it is another one.
      element.textContent = `${local} (${otherDay ? utc : utc.slice(-9)})`;
      element.title = full.format(at);
    }
    for (const labels of root.querySelectorAll('.day .labels')) {
      // A second line of hours below those in UTC.
      for (const label of [...labels.querySelectorAll('.hour')]) {
        const local = label.cloneNode();
        local.setAttribute('y', Number(label.getAttribute('y')) + 16);
        local.textContent = clock.format(new Date(label.dataset.at * 1000));
        labels.append(local);
      }
    }
  };
  // What a bar of the chart says when it is pointed at: its row of the table.
  const hints = (root) => {
    const bars = $('.day > svg', root);
    const table = $('#numbers table', root);
    if (!bars || !table) return;
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    [...table.tBodies[0].rows].forEach((row, n) => {
      const bar = document.createElementNS(bars.namespaceURI, 'rect');
      const title = document.createElementNS(bars.namespaceURI, 'title');
      title.textContent = [...row.cells].map((cell, at) => `${heads[at]}: ${cell.textContent}`).join('\n');
      for (const [name, value] of Object.entries({ class: 'hit', x: n, width: 1, height: 100 })) bar.setAttribute(name, value);
      bar.append(title);
      bars.append(bar);
    });
  };
  const words = $('#zone');
  if (elsewhere && words) words.textContent = `${words.dataset.both} (${zone})`;

  // The work that is done before a report, where the operators ask for it.
  const zeros = (hash) => {
    let bits = 0;
    for (const byte of hash) {
      if (byte) return bits + Math.clz32(byte) - 24;
      bits += 8;
    }
    return bits;
  };
  const work = async (address) => {
    const { challenge, bits } = await (await fetch(address, { cache: 'no-store' })).json();
    const encoder = new TextEncoder();
    for (let nonce = 0; ; nonce += 64) {
      const tries = Array.from({ length: 64 }, (_, n) => nonce + n);
      const hashes = await Promise.all(tries.map((n) => crypto.subtle.digest('SHA-256', encoder.encode(challenge + n))));
      const found = hashes.findIndex((hash) => zeros(new Uint8Array(hash)) >= bits);
      if (found >= 0) return `${challenge}:${tries[found]}`;
    }
  };
  let working = false;
  document.addEventListener('submit', async (event) => {
    const form = event.target;
    if (!form.dataset.work || form.elements.work.value) return;
    event.preventDefault();
    if (working) return;
    working = true;
    const button = event.submitter;
    const said = button?.textContent;
    if (button) button.textContent = form.dataset.wait;
    try {
      form.elements.work.value = await work(form.dataset.ask);
    } catch {
      // The server says what is missing.
      form.elements.work.value = 'none';
    }
    working = false;
    if (button) button.textContent = said;
    form.requestSubmit(button);
    form.elements.work.value = '';
  });

  // News: a newer page takes the place of what is shown, unless somebody is in the middle of something.
  const isBusy = () => working || document.hidden || document.activeElement?.closest('form') || $('#comment')?.value
    || !getSelection().isCollapsed;
  const news = $('#news');
  const replace = async (address) => {
    const answer = await fetch(address, { headers: { accept: 'text/html' } });
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const [now, then] = [$('#main'), $('#main', next)];
    if (!now || !then || isBusy()) return;
    const open = [...now.querySelectorAll('details[open]')].map((details) => details.id);
    const focused = document.activeElement?.closest('a[href]')?.getAttribute('href');
    const said = $('[data-news]', now)?.textContent;
    const saying = $('[data-news]', then)?.textContent;
    times(then);
    hints(then);
    for (const id of open) $(`#${CSS.escape(id)}`, then)?.setAttribute('open', '');
    const typed = $('#q', now)?.value;
    now.replaceChildren(...then.childNodes);
    if (typed !== undefined && $('#q')) $('#q').value = typed;
    if (focused) $(`#main a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    body.dataset.version = next.body.dataset.version;
    // Numbers change all the time; only another state is worth an interruption.
    if (news && saying && saying !== said) news.textContent = saying;
  };
  let waiting = false;
  let missed = false;
  const refresh = () => {
    if (waiting) return;
    waiting = true;
    // Not all who look come in the same moment.
    setTimeout(async () => {
      waiting = false;
      missed = isBusy();
      if (missed) return;
      try {
        await replace(location.href);
      } catch {
        // The page stays as it is; there will be other news.
      }
    }, Math.random() * 2000);
  };
  document.addEventListener('focusout', () => setTimeout(() => {
    if (missed && !isBusy()) refresh();
  }, 300));
  // A browser has few connections to one server: a page that nobody looks at needs none.
  let source;
  const listen = () => {
    if (!body.dataset.live || !('EventSource' in window)) return;
    if (document.hidden) {
      source?.close();
      source = undefined;
    } else if (!source) {
      source = new EventSource(body.dataset.live);
      source.addEventListener('message', (event) => {
        if (String(JSON.parse(event.data).version) !== body.dataset.version) refresh();
      });
    }
  };
  document.addEventListener('visibilitychange', listen);
  listen();

  // The front page: found while it is typed.
  let asked = 0;
  document.addEventListener('input', (event) => {
    if (event.target.id !== 'q') return;
    const mine = ++asked;
    setTimeout(async () => {
      if (mine !== asked) return;
      const address = new URL(location.href);
      address.search = '';
      if (event.target.value.trim()) address.searchParams.set('q', event.target.value);
      try {
        const answer = await fetch(address);
        const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
        if (mine !== asked || !answer.ok) return;
        $('#found')?.replaceWith($('#found', next));
        history.replaceState(null, '', address);
      } catch {
        // The button is still there.
      }
    }, 200);
  });

  times(document);
  hints(document);
})();
