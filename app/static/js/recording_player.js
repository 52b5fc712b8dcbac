// Recordings are played at the speed that was chosen.
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-speed]');
  const player = button?.closest('[data-player]');
  if (!player) return;
  player.querySelector('audio').playbackRate = Number(button.dataset.speed);
  player.querySelectorAll('[data-speed]').forEach((each) => each.setAttribute('aria-pressed', String(each === button)));
});
