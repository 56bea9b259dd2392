// What a browser does with news that are pushed to it, also while no page of ours is open.
'use strict';

self.addEventListener('push', (event) => {
  let news = {};
  try {
    news = event.data ? event.data.json() : {};
  } catch {
    // What cannot be read is shown as news without words: a push without a notification costs the permission.
  }
  event.waitUntil(self.registration.showNotification(news.title || 'News', {
    body: news.body || '',
    tag: news.tag || undefined,
    renotify: Boolean(news.tag),
    data: { url: news.url || '/' },
  }));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const to = new URL(event.notification.data.url, self.location.origin);
  if (to.origin !== self.location.origin) {
    return;
  }
  event.waitUntil(self.clients.matchAll({ type: 'window' }).then((pages) => {
    const open = pages.find((page) => page.url === to.href);
    return open ? open.focus() : self.clients.openWindow(to.href);
  }));
});
