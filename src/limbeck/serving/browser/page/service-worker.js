// Keeps every file of the page, so that it works without a network once it was loaded. {{...}} are written when the page is made.

const OURS = `limbeck ${registration.scope} `; // other pages of this origin have caches of their own
const KEPT = `${OURS}{{digest}}`;
const FILES = {{files}};

addEventListener("install", (event) =>
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(FILES.map((file) => new Request(file, { cache: "reload" })))).then(() => skipWaiting())),
);
addEventListener("activate", (event) =>
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith(OURS) && name !== KEPT).map((name) => caches.delete(name))))
      .then(() => clients.claim()),
  ),
);
addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.origin !== location.origin || event.request.method !== "GET") return;
  event.respondWith(
    caches
      .open(KEPT)
      .then((kept) => kept.match(event.request, { ignoreSearch: true }))
      .then((found) => found ?? fetch(event.request)),
  );
});
