// Runs before the first paint: sets the theme and the rows' height, says that scripts run.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const store = (key, value) => { try { localStorage.setItem(key, value); } catch { /* storage is switched off: for this page only */ } };
  const apply = () => {
    const theme = stored('theme') || 'system';
    root.dataset.theme = theme;
    root.classList.toggle('dark', theme === 'dark' || (theme === 'system' && dark.matches));
  };
  window.setTheme = (theme) => {
    store('theme', theme);
    apply();
  };
  window.setDensity = (density) => {
    store('density', density);
    root.dataset.density = density;
  };
  root.dataset.density = stored('density') || 'compact';
  root.classList.add('js');
  dark.addEventListener('change', apply);
  apply();
})();
