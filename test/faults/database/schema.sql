-- The tables of the fault tests. A superuser writes a fault into `trouble`; is_well() then raises that error, or sleeps.

create table items (id int primary key, text text not null);
create table others (id int primary key, text text not null);
create table applications ();

create table trouble (kind text not null, value text not null);

create function is_well() returns boolean language plpgsql stable as $$
declare
  one record;
begin
  for one in select kind, value from trouble loop
    if one.kind = 'error' then raise exception 'made to fail' using errcode = one.value; end if;
    if one.kind = 'sleep' then perform pg_sleep(one.value::float8); end if;
  end loop;
  return true;
end $$;
