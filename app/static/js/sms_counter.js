// How many SMS a text is sent as, counted while it is typed (3GPP TS 23.038); the server counts again, see lib/sms_parts.py.
const BASIC = new Set('@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà');
const EXTENDED = new Set('\f^{}\\[~]|€');
const CAPACITY = { 'GSM-7': [160, 153], 'UCS-2': [70, 67] };

export function countParts(text) {
  const chars = [...text.replace(/\r\n/g, '\n')];
  const encoding = chars.every((char) => BASIC.has(char) || EXTENDED.has(char)) ? 'GSM-7' : 'UCS-2';
  const sizes = chars.map((char) => (encoding === 'GSM-7' ? (EXTENDED.has(char) ? 2 : 1) : char.length));
  const [alone, each] = CAPACITY[encoding];
  const units = sizes.reduce((sum, size) => sum + size, 0);
  if (units <= alone) return { encoding, parts: units ? 1 : 0, left: alone - units };
  let parts = 1, used = 0;
  for (const size of sizes) {
    if (used + size > each) { parts += 1; used = 0; }
    used += size;
  }
  return { encoding, parts, left: each - used };
}

export function armSms(within) {
  for (const place of within.querySelectorAll('[data-sms-for]:not([data-armed])')) {
    place.dataset.armed = '1';
    const text = document.getElementById(place.dataset.smsFor);
    const channel = document.getElementById(place.dataset.smsChannel || '');
    const show = () => {
      const count = countParts(text.value);
      place.hidden = !count.parts || (channel && channel.value !== 'sms') || text.hidden;
      place.textContent = Object.entries(count).reduce((said, [name, value]) => said.replace(`{${name}}`, value), place.dataset.text);
    };
    if (text) {
      text.addEventListener('input', show);
      channel?.addEventListener('change', show);
      document.addEventListener('change', show);
      show();
    }
  }
}
armSms(document);
