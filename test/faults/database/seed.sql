insert into items select n, 'item ' || n from generate_series(0, 999) n;
insert into others select n, 'other ' || n from generate_series(0, 999) n;
