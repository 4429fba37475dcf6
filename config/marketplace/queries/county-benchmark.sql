-- The second-cheapest silver plan of a county (the cheapest if it is the only one). Tax credits are based on it.
select lowest.county_fips, lowest.county_name, :age::int as age, lowest.plan_id, lowest.plan_name, lowest.premium
from (
  select c.county_fips, c.county_name, p.plan_id, p.plan_name, r.premium
  from counties c
  join plan_county s on s.county_fips = c.county_fips and s.plan_year = :year::int
  join plans p on p.plan_id = s.plan_id and p.plan_year = s.plan_year and p.metal_level = 'Silver'
  join rates r on r.plan_id = s.plan_id and r.plan_year = s.plan_year and r.rating_area = c.rating_area
    and r.age = least(:age::int, 64)
  where c.county_fips = :fips::text
  order by r.premium, p.plan_id
  limit 2
) lowest
order by lowest.premium desc, lowest.plan_id desc
limit 1
