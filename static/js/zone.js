// Tells the server the reader's time zone, so that days begin where they begin for the reader.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
const cookie = `portal-zone=${zone}`;
if (/^[\w+/-]{1,64}$/.test(zone) && !document.cookie.split("; ").includes(cookie)) {
  document.cookie = `${cookie}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
}
