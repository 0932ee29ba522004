// Runs before the first paint: sets the theme, says that scripts run.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const stored = () => { try { return localStorage.getItem('theme'); } catch { return null; } };
  const apply = () => {
    const theme = stored() || 'system';
    root.dataset.theme = theme;
    root.classList.toggle('dark', theme === 'dark' || (theme === 'system' && dark.matches));
  };
  window.setTheme = (theme) => {
    try { localStorage.setItem('theme', theme); } catch { /* storage is switched off: for this page only */ }
    apply();
  };
  root.classList.add('js');
  dark.addEventListener('change', apply);
  apply();
})();
