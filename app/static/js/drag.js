// SortableJS, with which cards and tasks are dragged. It is large: it follows once the page is there.
let library = null;

async function load(url) {
  if (document.readyState !== 'complete') await new Promise((resolve) => { window.addEventListener('load', resolve, { once: true }); });
  return new Promise((ready, failed) => {
    document.head.append(Object.assign(document.createElement('script'), { src: url, onload: () => ready(window.Sortable), onerror: failed }));
  });
}

/** The library, fetched once; one that could not be fetched is fetched again by the next call. */
export function sortable(url) {
  library ??= load(url).catch((error) => { library = null; throw error; });
  return library;
}
