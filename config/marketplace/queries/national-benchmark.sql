-- The second-lowest silver premium of each rating area (the lowest if it is the only one), averaged by state.
select state, count(*) as rating_areas, round(avg(premium), 2) as benchmark
from (
  select p.state, r.rating_area, r.premium,
    row_number() over (partition by p.state, r.rating_area order by r.premium, p.plan_id) as place,
    count(*) over (partition by p.state, r.rating_area) as plans
  from plans p
  join rates r on r.plan_id = p.plan_id and r.plan_year = p.plan_year and r.age = least(:age::int, 64)
  where p.plan_year = :year::int and p.metal_level = 'Silver'
) priced
where place = least(2, plans)
group by state
order by state
