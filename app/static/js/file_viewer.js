// A picture or PDF of a record, shown large.
import { icon, made } from './markup.js';

document.addEventListener('click', (event) => {
  const opener = event.target.closest('[data-pdf-open], [data-picture-open]');
  if (!opener || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const { pdfOpen, pictureOpen } = opener.dataset;
  const name = opener.dataset.name || opener.closest('.file-row').querySelector('.clip').textContent;
  const close = made('button', { type: 'button', className: 'btn-bare' }, icon('x'));
  close.setAttribute('aria-label', document.querySelector('[data-files][data-url]:not(.write-files)').dataset.cancel);
  const shown = pdfOpen ? made('iframe', { src: pdfOpen, title: name }) : made('img', { src: pictureOpen, alt: name });
  const dialog = made('dialog', { className: 'dialog file-dialog' }, made('header', {}, made('span', { className: 'clip strong', textContent: name }), made('a', { className: 'btn-bare', href: opener.href, download: '' }, icon('download')), close), shown);
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (click) => { if (click.target === dialog) dialog.close(); });
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});
